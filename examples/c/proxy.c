/* Passes connections on to another server, one fiber for each direction. */
#include "example.h"
#include <sys/socket.h>

static const char *upstream;

struct direction {
    int from, to;
};

static void *direction(int from, int to) {
    struct direction *way = malloc(sizeof *way);
    if (way == NULL)
        abort();
    way->from = from;
    way->to = to;
    return way;
}

/* Moves everything to the end of the stream, and tells the receiver of it. */
static void *carry(void *arg) {
    struct direction way = *(struct direction *)arg;
    char bytes[32768];
    ssize_t n, written = 0;
    free(arg);
    while (written >= 0 && (n = nyario_read(way.from, bytes, sizeof bytes)) > 0)
        if ((written = nyario_write(way.to, bytes, (size_t)n)) != n)
            written = -1;
    if (written < 0)
        nyario_shutdown(way.from, SHUT_RD);
    nyario_shutdown(way.to, SHUT_WR);
    return NULL;
}

static void proxy(int client, void *arg) {
    int server = nyario_dial(upstream);
    (void)arg;
    if (server < 0) {
        fprintf(stderr, "%s: %s\n", upstream, nyario_strerror(server));
        return;
    }
    nyario_fiber answering = nyario_spawn(carry, direction(server, client));
    carry(direction(client, server));
    if (answering > 0)
        nyario_join(answering, NULL);
    /* Whoever still waits on it is woken with an error. */
    nyario_close(server);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s UPSTREAM ADDRESS (host:port, or the path of a unix socket)\n", argv[0]);
        return 2;
    }
    upstream = argv[1];
    return serve(argc - 1, argv + 1, proxy, NYARIO_EAGER);
}
