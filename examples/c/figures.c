/* An echo server with a second door: whoever connects there is told how the loop is doing, and speaks not a word. */
#include "example.h"
#include <inttypes.h>

static void echo(int fd, void *arg) {
    char buf[16384];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

/* The server speaks first here, so it is registered with NYARIO_EAGER. */
static void tell(int fd, void *arg) {
    nyario_statistics now = {.size = sizeof now};
    char text[512];
    (void)arg;
    if (nyario_stats(&now) < 0)
        return;
    int length = snprintf(text, sizeof text,
                          "backend %s\nturns %" PRIu64 "\nenters %" PRIu64 "\nswitches %" PRIu64 "\n"
                          "at once %" PRIu64 "\nwaited %" PRIu64 "\nservers %" PRIu64 "\nfibers %" PRIu64 "\n"
                          "connections %" PRIu64 "\nidle %" PRIu64 "\nstacks %" PRIu64 "\n",
                          now.backend, now.turns, now.enters, now.switches, now.at_once, now.waited, now.servers,
                          now.fibers, now.accepted, now.idle, now.stacks);
    nyario_write(fd, text, (size_t)length);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s ADDRESS ADDRESS-OF-FIGURES\n", argv[0]);
        return 2;
    }
    int door = nyario_listen(argv[2]);
    int error = door < 0 ? door : nyario_register(door, tell, NULL, NYARIO_EAGER);
    if (error < 0)
        fail(argv[2], error);
    return serve(argc - 1, argv, echo, 0);
}
