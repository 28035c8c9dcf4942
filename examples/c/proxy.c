/* Passes connections on to another server. The bytes never come up from the kernel: splice moves them from one socket into a
   pipe and from there into the other, one fiber for each direction. */
#include "example.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

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
    int pipe[2];
    ssize_t n, moved = 0;
    free(arg);
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return NULL;
    while (moved >= 0 && (n = nyario_splice(way.from, NULL, pipe[1], NULL, 65536, 0)) > 0)
        for (; n > 0 && moved >= 0; n -= moved)
            moved = nyario_splice(pipe[0], NULL, way.to, NULL, (size_t)n, 0);
    if (moved < 0)
        nyario_shutdown(way.from, SHUT_RD);
    nyario_shutdown(way.to, SHUT_WR);
    nyario_close(pipe[0]);
    nyario_close(pipe[1]);
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
