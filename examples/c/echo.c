/* Sends back whatever it is sent: each connection is a plain blocking loop on a fiber of its own. */
#include "example.h"

static void echo(int fd, void *arg) {
    char buf[16384];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

int main(int argc, char **argv) {
    return serve(argc, argv, echo, 0);
}
