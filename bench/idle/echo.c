/* An echo whose buffer is small, so that what an idle connection costs is its fiber rather than its buffer. */
#include "example.h"

static void echo(int fd, void *arg) {
    char buf[512];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

int main(int argc, char **argv) {
    return serve(argc, argv, echo, 0);
}
