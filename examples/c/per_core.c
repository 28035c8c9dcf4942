/* An echo server that uses every processor: a loop on each, pinned to it, with a listening socket of its own at one
 * address, over which the kernel spreads the connections. SIGTERM and SIGINT drain it: nobody new is let in, and those who
 * are being served have five seconds to finish. */
#include <nyario.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const int64_t GRACE = 5000000000;

/* Where everybody listens. The first thread learns which port it got, if it asked for any. */
struct place {
    pthread_mutex_t mutex;
    char address[128];
    int known;
};

static void echo(int fd, void *arg) {
    char buf[4096];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

static int begin(unsigned index, void *arg) {
    struct place *place = arg;
    (void)index;
    pthread_mutex_lock(&place->mutex);
    int error, server = nyario_listen_shared(place->address);
    if (server >= 0 && !place->known) {
        error = nyario_address(server, place->address, sizeof place->address);
        if (error < 0) {
            nyario_close(server);
            server = error;
        } else {
            place->known = 1;
            printf("listening on %s\n", place->address);
            fflush(stdout);
        }
    }
    pthread_mutex_unlock(&place->mutex);
    return server < 0 ? server : nyario_register(server, echo, NULL, 0);
}

static void drain(int signal) {
    (void)signal;
    nyario_drain_threads(GRACE);
}

int main(int argc, char **argv) {
    static struct place place = {PTHREAD_MUTEX_INITIALIZER, "", 0};
    if (argc != 2 || strlen(argv[1]) >= sizeof place.address) {
        fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
        return 2;
    }
    strcpy(place.address, argv[1]);

    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = drain;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    int error = nyario_threads(0, 1, begin, &place);
    if (error < 0)
        fprintf(stderr, "%s: %s\n", argv[1], nyario_strerror(error));
    return error < 0;
}
