/* Waiting for several descriptors: poll and select, on fibers and off them. */
#include "check.h"

#include <poll.h>
#include <sys/select.h>

static const int64_t MILLISECOND = 1000000;

enum { PIPES = 3 };

struct pipes {
    int read[PIPES], write[PIPES];
    int result, found;
};

static void open_pipes(struct pipes *at) {
    for (int i = 0; i < PIPES; i++) {
        int ends[2];
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        at->read[i] = ends[0];
        at->write[i] = ends[1];
    }
}

static void close_pipes(struct pipes *at) {
    for (int i = 0; i < PIPES; i++) {
        if (at->read[i] >= 0)
            GIVES(nyario_close(at->read[i]), 0);
        GIVES(nyario_close(at->write[i]), 0);
    }
}

static void *polls(void *arg) {
    struct pipes *at = arg;
    struct pollfd fds[PIPES + 1] = {{.fd = -1, .events = POLLIN}};
    for (int i = 0; i < PIPES; i++)
        fds[i + 1] = (struct pollfd){.fd = at->read[i], .events = POLLIN};
    at->result = nyario_poll(fds, PIPES + 1, -1);
    at->found = -1;
    for (int i = 0; i < PIPES; i++)
        if (fds[i + 1].revents == POLLIN)
            at->found = i;
    return NULL;
}

static void *selects(void *arg) {
    struct pipes *at = arg;
    fd_set readable;
    FD_ZERO(&readable);
    for (int i = 0; i < PIPES; i++)
        FD_SET(at->read[i], &readable);
    at->result = nyario_select(FD_SETSIZE, &readable, NULL, NULL, -1);
    at->found = -1;
    for (int i = 0; i < PIPES; i++)
        if (FD_ISSET(at->read[i], &readable))
            at->found = i;
    return NULL;
}

static const nyario_entry WAITS[] = {polls, selects};

static void *feeds_one(void *arg) {
    struct pipes at;
    char byte;
    (void)arg;
    open_pipes(&at);
    for (int i = 0; i < 2 * PIPES; i++) {
        nyario_fiber waiting = nyario_spawn(WAITS[i % 2], &at);
        CHECK(nyario_sleep(MILLISECOND) == 0);
        GIVES(nyario_write(at.write[i / 2], "x", 1), 1);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(at.result == 1 && at.found == i / 2);
        /* Once more: what is there need not be waited for. */
        WAITS[i % 2](&at);
        CHECK(at.result == 1 && at.found == i / 2);
        GIVES(nyario_read(at.read[i / 2], &byte, 1), 1);
    }
    close_pipes(&at);
    return NULL;
}

static void wake_with_the_first(void) {
    on_fiber(feeds_one, NULL);
}

static void *waits_with_a_deadline(void *arg) {
    struct pipes *at = arg;
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    for (int i = 0; i < 2; i++) {
        WAITS[i](at);
        CHECK(at->result == -ETIMEDOUT);
    }
    return NULL;
}

static void *ends_waits(void *arg) {
    struct pipes at;
    (void)arg;
    open_pipes(&at);
    for (int i = 0; i < 2; i++) {
        nyario_fiber waiting = nyario_spawn(WAITS[i], &at);
        CHECK(nyario_sleep(MILLISECOND) == 0);
        GIVES(nyario_cancel(waiting), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(at.result == -ECANCELED);
    }
    nyario_fiber late = nyario_spawn(waits_with_a_deadline, &at);
    GIVES(nyario_join(late, NULL), 0);
    for (int i = 0; i < 2; i++) {
        nyario_fiber waiting = nyario_spawn(WAITS[i], &at);
        CHECK(nyario_sleep(MILLISECOND) == 0);
        GIVES(nyario_close(at.read[0]), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(at.result == -EBADF);
        GIVES(nyario_close(at.write[0]), 0);
        int ends[2];
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        at.read[0] = ends[0];
        at.write[0] = ends[1];
    }
    close_pipes(&at);
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

static void *waits_in_vain(void *arg) {
    struct pipes at;
    fd_set readable;
    int64_t before = nyario_now();
    (void)arg;
    open_pipes(&at);
    struct pollfd fd = {.fd = at.read[0], .events = POLLIN, .revents = 77};
    GIVES(nyario_poll(&fd, 1, 2 * MILLISECOND), 0);
    CHECK(fd.revents == 0);
    GIVES(nyario_poll(NULL, 0, 2 * MILLISECOND), 0);
    FD_ZERO(&readable);
    FD_SET(at.read[0], &readable);
    GIVES(nyario_select(FD_SETSIZE, &readable, NULL, NULL, 2 * MILLISECOND), 0);
    CHECK(!FD_ISSET(at.read[0], &readable));
    GIVES(nyario_select(0, NULL, NULL, NULL, 2 * MILLISECOND), 0);
    CHECK(nyario_now() - before >= 8 * MILLISECOND);
    close_pipes(&at);
    return NULL;
}

static void wait_for_so_long(void) {
    on_fiber(waits_in_vain, NULL);
    waits_in_vain(NULL);
}

static void *asks_badly(void *arg) {
    fd_set set, before;
    struct pollfd closed = {.fd = 900, .events = POLLIN};
    (void)arg;
    GIVES(nyario_poll(NULL, 1, 0), -EINVAL);
    GIVES(nyario_poll(&closed, (size_t)1 << 40, 0), -EINVAL);
    GIVES(nyario_poll(&closed, 1, -1), 1);
    CHECK(closed.revents == POLLNVAL);
    FD_ZERO(&set);
    FD_SET(900, &set);
    before = set;
    GIVES(nyario_select(-1, &set, NULL, NULL, 0), -EINVAL);
    GIVES(nyario_select(901, NULL, &set, NULL, -1), -EBADF);
    CHECK(memcmp(&set, &before, sizeof set) == 0);
    GIVES(nyario_select(900, NULL, NULL, &set, 0), 0);
    return NULL;
}

static void refuse_bad_arguments(void) {
    on_fiber(asks_badly, NULL);
    asks_badly(NULL);
}

static void *reads_through_both(void *arg) {
    struct pollfd *fds = arg;
    size_t total = 0;
    char buf[64];
    int open = 2;
    while (open > 0) {
        CHECK(nyario_poll(fds, 2, -1) > 0);
        for (int i = 0; i < 2; i++)
            if (fds[i].revents) {
                ssize_t n = nyario_recv(fds[i].fd, buf, sizeof buf, MSG_DONTWAIT);
                CHECK(n >= 0 || n == -EAGAIN);
                total += n > 0 ? (size_t)n : 0;
                if (n == 0) {
                    GIVES(nyario_close(fds[i].fd), 0);
                    fds[i].fd = -1;
                    open--;
                }
            }
    }
    CHECK(total == 2 * 1000 * 7);
    return NULL;
}

static void *talks_much(void *arg) {
    int fd = (int)(intptr_t)arg;
    for (int i = 0; i < 1000; i++) {
        GIVES(nyario_write(fd, "sentence", 7), 7);
        if (i % 50 == 0)
            nyario_yield();
    }
    GIVES(nyario_close(fd), 0);
    return NULL;
}

static void *serves(void *arg) {
    char address[128];
    struct pollfd fds[2];
    (void)arg;
    int listener = nyario_listen("127.0.0.1:0");
    CHECK(nyario_address(listener, address, sizeof address) > 0);
    for (int i = 0; i < 2; i++) {
        int client = nyario_dial(address);
        fds[i] = (struct pollfd){.fd = nyario_accept(listener, NULL, NULL), .events = POLLIN};
        CHECK(client >= 0 && fds[i].fd >= 0);
        GIVES(nyario_detach(nyario_spawn(talks_much, (void *)(intptr_t)client)), 0);
    }
    reads_through_both(fds);
    GIVES(nyario_close(listener), 0);
    return NULL;
}

static void serve_two_connections_on_one_fiber(void) {
    on_fiber(serves, NULL);
}

int main(void) {
    TEST(wake_with_the_first);
    TEST(end_early);
    TEST(wait_for_so_long);
    TEST(refuse_bad_arguments);
    TEST(serve_two_connections_on_one_fiber);
    return summary("poll");
}
