/* Uses an installed nyario as a stranger would: what one fiber sends, another sends back. */
#include <nyario.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int ends[2];

static void *send_back(void *arg) {
    char buf[16];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(ends[1], buf, sizeof buf)) > 0)
        nyario_write(ends[1], buf, (size_t)n);
    nyario_close(ends[1]);
    return NULL;
}

static void *ping(void *arg) {
    char buf[16] = "";
    nyario_write(ends[0], "ping", 5);
    nyario_read(ends[0], buf, sizeof buf);
    nyario_close(ends[0]);
    *(int *)arg = strcmp(buf, "ping") == 0;
    return NULL;
}

int main(void) {
    int came_back = 0;
    if (nyario_version() != NYARIO_VERSION_HEX || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return 1;
    nyario_detach(nyario_spawn(send_back, NULL));
    nyario_detach(nyario_spawn(ping, &came_back));
    if (nyario_loop() < 0 || !came_back)
        return 1;
    printf("nyario %s\n", nyario_version_string());
    return 0;
}
