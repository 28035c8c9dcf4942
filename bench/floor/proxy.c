/* The floor of proxies: what one thread of C can do with epoll to pass bytes on to another server and back. */
#include "process.h"
#include <fcntl.h>
#include <sys/epoll.h>

#define READ_SIZE 32768
#define QUIET (EPOLLIN | EPOLLRDHUP)

/* One of the two sockets of a connection that is passed on. */
struct side {
    int fd;
    bool ended; /* nothing more comes from here */
    char *held; /* what it had no room for; the other side is not read meanwhile */
    size_t held_at, held_size;
    struct side *other;
    struct pair *pair;
};

struct pair {
    struct side sides[2];
    bool gone;
    struct pair *next_gone;
};

static int epoll;
static struct sockaddr_in upstream;
static struct pair *gone;

static void watch(struct side *side, int how, uint32_t events)
{
    struct epoll_event event = { .events = events | EPOLLET, .data.ptr = side };
    if (epoll_ctl(epoll, how, side->fd, &event))
        floor_die("epoll_ctl");
}

/* Freed after the batch of events, in which either side may come once more. */
static void drop(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        close(pair->sides[i].fd);
        free(pair->sides[i].held);
    }
    pair->gone = true;
    pair->next_gone = gone;
    gone = pair;
}

static void free_gone(void)
{
    while (gone) {
        struct pair *pair = gone;
        gone = pair->next_gone;
        free(pair);
    }
}

/* Connecting to a server of this machine takes no time that another connection could use, so it may block. */
static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        connect(fd, (struct sockaddr *)&upstream, sizeof upstream) || fcntl(fd, F_SETFL, O_NONBLOCK))
        floor_die("upstream");
    return fd;
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
        struct pair *pair = calloc(1, sizeof *pair);
        if (!pair)
            floor_die("calloc");
        int fds[] = { fd, dial() };
        for (int i = 0; i < 2; i++) {
            pair->sides[i] = (struct side){ .fd = fds[i], .other = &pair->sides[!i], .pair = pair };
            watch(&pair->sides[i], EPOLL_CTL_ADD, QUIET);
        }
    }
}

static void hold(struct side *side, const char *bytes, size_t size)
{
    side->held = malloc(size);
    if (!side->held)
        floor_die("malloc");
    memcpy(side->held, bytes, size);
    side->held_at = 0;
    side->held_size = size;
    watch(side, EPOLL_CTL_MOD, QUIET | EPOLLOUT);
}

/* Passes on what comes from here, until a short read shows that there is no more; where it has ended, until that shows. */
static void pass(struct side *side, bool may_have_ended)
{
    static char buffer[READ_SIZE];
    struct side *other = side->other;

    while (!side->ended && !other->held) {
        ssize_t got = recv(side->fd, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0) {
            drop(side->pair);
            return;
        }
        if (got == 0) {
            side->ended = true;
            shutdown(other->fd, SHUT_WR);
            if (other->ended)
                drop(side->pair);
            return;
        }
        ssize_t sent = send(other->fd, buffer, got, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            drop(side->pair);
            return;
        }
        if (sent < 0)
            sent = 0;
        if (sent < got)
            hold(other, buffer + sent, got - sent);
        else if (got < READ_SIZE && !may_have_ended)
            return;
    }
}

/* The edges that came while the other side was not read are gone, so it is asked now. */
static void release(struct side *side)
{
    ssize_t sent = send(side->fd, side->held + side->held_at, side->held_size - side->held_at, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(side->pair);
        return;
    }
    side->held_at += sent;
    if (side->held_at < side->held_size)
        return;
    free(side->held);
    side->held = NULL;
    watch(side, EPOLL_CTL_MOD, QUIET);
    pass(side->other, true);
}

int main(int argc, char **argv)
{
    struct side listener = { .fd = -1 };
    struct epoll_event events[512];

    if (argc != 3) {
        fprintf(stderr, "usage: %s UPSTREAM_HOST:PORT HOST:PORT|/PATH\n", argv[0]);
        return 2;
    }
    floor_prepare();
    upstream = floor_address(argv[1]);
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
            struct side *side = events[i].data.ptr;
            if (side == &listener) {
                accept_all(side->fd);
                continue;
            }
            if (side->held && !side->pair->gone && events[i].events & EPOLLOUT)
                release(side);
            if (!side->pair->gone)
                pass(side, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        }
        free_gone();
    }
}
