/* A server on a unix socket that answers each connection with a descriptor: the reading end of a pipe, from which the peer
   reads what it is told. With "client" behind the path, it is that peer. */
#include "example.h"
#include <unistd.h>

static void hand_out(int fd, void *arg) {
    static const char story[] = "This came through a pipe that the other process opened.\n";
    int pipe[2];
    (void)arg;
    if (nyario_pipe(pipe) < 0)
        return;
    if (nyario_send_fd(fd, pipe[0]) == 0) {
        nyario_close(pipe[0]);
        nyario_write(pipe[1], story, sizeof story - 1);
    } else {
        nyario_close(pipe[0]);
    }
    nyario_close(pipe[1]);
}

static int receive(const char *path) {
    char buf[256];
    ssize_t n;
    int fd = nyario_dial(path);
    if (fd < 0)
        fail(path, fd);
    int passed = nyario_recv_fd(fd);
    if (passed < 0)
        fail("nyario_recv_fd", passed);
    while ((n = nyario_read(passed, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
    nyario_close(passed);
    return nyario_close(fd);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[2], "client") == 0)
        return receive(argv[1]);
    return serve(argc, argv, hand_out, NYARIO_EAGER);
}
