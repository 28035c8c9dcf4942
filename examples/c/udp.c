/* Sends datagrams back to whom they came from; with a message behind the address, sends that and waits a second for the
   answer. */
#include "example.h"
#include <poll.h>
#include <sys/socket.h>

static void *echo(void *arg) {
    int fd = *(int *)arg;
    char buf[65536];
    for (;;) {
        struct sockaddr_storage from;
        uint32_t len = sizeof from;
        ssize_t n = nyario_recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
        if (n < 0 || nyario_sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len) < 0)
            return NULL;
    }
}

static int ask(const char *address, const char *message) {
    char answer[65536];
    int fd = nyario_datagram(NULL, address);
    struct pollfd answered = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        fail(address, fd);
    ssize_t n = nyario_send(fd, message, strlen(message), 0);
    if (n < 0)
        fail("nyario_send", (int)n);
    if (nyario_poll(&answered, 1, 5000000000) == 0) {
        fprintf(stderr, "no answer\n");
        return 1;
    }
    n = nyario_recv(fd, answer, sizeof answer, 0);
    if (n < 0)
        fail("nyario_recv", (int)n);
    printf("%.*s\n", (int)n, answer);
    return nyario_close(fd);
}

int main(int argc, char **argv) {
    char address[128];
    if (argc == 3)
        return ask(argv[1], argv[2]);
    if (argc != 2) {
        fprintf(stderr, "usage: %s ADDRESS [MESSAGE] (host:port)\n", argv[0]);
        return 2;
    }
    int fd = nyario_datagram(argv[1], NULL);
    if (fd < 0)
        fail(argv[1], fd);
    end_on_signals();
    nyario_address(fd, address, sizeof address);
    printf("listening on %s\n", address);
    fflush(stdout);
    nyario_detach(nyario_spawn(echo, &fd));
    return nyario_loop();
}
