/* The echo server without nyario's loop: edge-triggered epoll by hand, for the guide to compare echo.c with. */
#include <errno.h>
#include <fcntl.h>
#include <nyario.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a fiber would keep on its stack between two waits. */
struct connection {
    int fd;
    size_t said, have; /* buf[said..have] is still to be sent */
    char buf[16384];
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd, void *data) {
    struct epoll_event event;
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = data;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

/* Goes on with a connection until it would have to wait: 1, or 0 when it is over. */
static int go_on(struct connection *connection) {
    for (;;) {
        while (connection->said < connection->have) {
            ssize_t n = send(connection->fd, connection->buf + connection->said,
                             connection->have - connection->said, MSG_NOSIGNAL);
            if (n < 0)
                return errno == EAGAIN;
            connection->said += (size_t)n;
        }
        ssize_t n = recv(connection->fd, connection->buf, sizeof connection->buf, 0);
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return 0;
        connection->said = 0;
        connection->have = (size_t)n;
    }
}

static void begin(int epoll, int fd) {
    struct connection *connection = malloc(sizeof *connection);
    if (!connection)
        fail("malloc");
    connection->fd = fd;
    connection->said = connection->have = 0;
    watch(epoll, fd, connection);
}

/* One look at the kernel, and everything that it tells. */
static void turn(int epoll, int server) {
    struct epoll_event events[64];
    int found = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < found; i++) {
        struct connection *connection = events[i].data.ptr;
        if (!connection) {
            /* One edge may stand for many connections. */
            int fd;
            while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
                begin(epoll, fd);
        } else if (!go_on(connection)) {
            close(connection->fd);
            free(connection);
        }
    }
}

int main(int argc, char **argv) {
    char address[128];
    int server = nyario_listen(argc == 2 ? argv[1] : "127.0.0.1:0");
    if (server < 0 || nyario_address(server, address, sizeof address) < 0) {
        fprintf(stderr, "listening: %s\n", nyario_strerror(server));
        return 1;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    watch(epoll, server, NULL);

    printf("listening on %s\n", address);
    fflush(stdout);
    for (;;)
        turn(epoll, server);
}
