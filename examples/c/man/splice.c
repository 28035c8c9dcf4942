/* nyario_splice: what comes from a socket goes on to another one, through a pipe and not through the program's memory. */
#include <nyario.h>
#include <stdio.h>
#include <sys/socket.h>

struct direction {
    int from, to;
};

/* Moves everything to the end of the stream, and tells the receiver of it. */
static void *carry(void *arg) {
    struct direction *way = arg;
    int pipe[2];
    ssize_t n, moved = 0;
    if (nyario_pipe(pipe) < 0)
        return NULL;
    while (moved >= 0 && (n = nyario_splice(way->from, NULL, pipe[1], NULL, 65536, 0)) > 0)
        for (; n > 0 && moved >= 0; n -= moved)
            moved = nyario_splice(pipe[0], NULL, way->to, NULL, (size_t)n, 0);
    nyario_shutdown(way->to, SHUT_WR);
    nyario_close(pipe[0]);
    nyario_close(pipe[1]);
    return NULL;
}

static void *speak(void *arg) {
    int *socket = arg;
    nyario_write(*socket, "from one socket to another", 26);
    nyario_shutdown(*socket, SHUT_WR);
    return NULL;
}

static void *listen_to(void *arg) {
    int *socket = arg;
    char text[64];
    ssize_t n = nyario_read(*socket, text, sizeof text);
    printf("%.*s\n", n > 0 ? (int)n : 0, text);
    printf("then: %d\n", (int)nyario_read(*socket, text, sizeof text));
    return NULL;
}

int main(void) {
    int one[2], other[2];
    if (nyario_socketpair(AF_UNIX, SOCK_STREAM, 0, one) < 0 || nyario_socketpair(AF_UNIX, SOCK_STREAM, 0, other) < 0)
        return 1;
    struct direction way = {one[1], other[0]};
    nyario_detach(nyario_spawn(listen_to, &other[1]));
    nyario_detach(nyario_spawn(carry, &way));
    nyario_detach(nyario_spawn(speak, &one[0]));
    return nyario_loop();
}
