/* The floor by readiness: what one thread of C can do with epoll, and no more than that. */
#include "floor.h"
#include <sys/epoll.h>

struct connection {
    int fd;
    unsigned char seen;
    char *held; /* what the peer had no room for; none, nearly always, so it is not part of the record */
    size_t held_at, held_size;
};

static int epoll;

static void watch(struct connection *c, int how, uint32_t events)
{
    struct epoll_event event = { .events = events | EPOLLET, .data.ptr = c };
    if (epoll_ctl(epoll, how, c->fd, &event))
        floor_die("epoll_ctl");
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->held);
    free(c);
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            floor_die("accept4");
        }
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
            floor_die("calloc");
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP);
    }
}

/* Waits for room and reads nothing meanwhile: a peer that does not read cannot make the server hold more
 * than one read of it. EPOLLOUT is asked for only here, because a unix socket reports it for every message. */
static void hold(struct connection *c, const char *bytes, size_t size)
{
    c->held = malloc(size);
    if (!c->held)
        floor_die("malloc");
    memcpy(c->held, bytes, size);
    c->held_at = 0;
    c->held_size = size;
    watch(c, EPOLL_CTL_MOD, EPOLLOUT);
}

static void release(struct connection *c)
{
    ssize_t sent = send(c->fd, c->held + c->held_at, c->held_size - c->held_at, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(c);
        return;
    }
    c->held_at += sent;
    if (c->held_at == c->held_size) {
        free(c->held);
        c->held = NULL;
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP); /* which reports at once what came meanwhile */
    } else {
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

static void serve(struct connection *c, uint32_t events)
{
    static char buffer[READ_SIZE];

    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            drop(c);
            return;
        }
        struct reply reply = floor_reply(&c->seen, buffer, got);
        if (reply.size) {
            ssize_t sent = send(c->fd, reply.bytes, reply.size, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                drop(c);
                return;
            }
            if (sent < 0)
                sent = 0;
            if ((size_t)sent < reply.size) {
                hold(c, reply.bytes + sent, reply.size - sent);
                return;
            }
        }
        /* A short read has drained the socket, unless its end came together with the bytes. */
        if (got < READ_SIZE && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return;
    }
}

int main(int argc, char **argv)
{
    struct connection listener = { .fd = -1 };
    struct epoll_event events[512];

    floor_start(argc, argv);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        floor_die("epoll_create1");
    listener.fd = floor_listen(argv[2], SOCK_NONBLOCK);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);

    for (;;) {
        int count = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);
        if (count < 0 && errno != EINTR)
            floor_die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == &listener)
                accept_all(c->fd);
            else if (c->held)
                release(c);
            else
                serve(c, events[i].events);
        }
    }
}
