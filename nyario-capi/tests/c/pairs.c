/* Pairs of sockets, and pipes, that are nyario's from the start. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

enum { MESSAGES = 1000, LARGE = 1 << 20 };

/* What a fiber reads from, and what it writes to. */
struct ends {
    int from, to;
};

static void *answers(void *arg) {
    struct ends *ends = arg;
    char buf[100];
    ssize_t n;
    while ((n = nyario_read(ends->from, buf, sizeof buf)) > 0)
        GIVES(nyario_write(ends->to, buf, (size_t)n), n);
    return (void *)n;
}

static void *fills(void *arg) {
    static char bytes[LARGE];
    GIVES(nyario_write(*(int *)arg, bytes, sizeof bytes), LARGE);
    GIVES(nyario_close(*(int *)arg), 0);
    return NULL;
}

static void *waits(void *arg) {
    char byte;
    return (void *)nyario_read(*(int *)arg, &byte, 1);
}

/* To and fro, then more than there is room for, then the end. */
static void converse(struct ends here, struct ends there) {
    char out[10], in[100];
    void *result;
    nyario_fiber other = nyario_spawn(answers, &there);
    for (int i = 0; i < MESSAGES; i++) {
        size_t len = 1 + (size_t)i % sizeof out;
        memset(out, 'a' + i % 26, sizeof out);
        GIVES(nyario_write(here.to, out, len), (ssize_t)len);
        GIVES(nyario_read(here.from, in, sizeof in), (ssize_t)len);
        CHECK(memcmp(in, out, len) == 0);
    }
    nyario_deadline(nyario_now() + MILLISECOND);
    GIVES(nyario_read(here.from, in, sizeof in), -ETIMEDOUT);
    nyario_deadline(0);
    nyario_cancel(other);
    GIVES(nyario_join(other, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);

    nyario_fiber writer = nyario_spawn(fills, &there.to);
    ssize_t n, count = 0;
    while ((n = nyario_read(here.from, in, sizeof in)) > 0)
        count += n;
    CHECK(n == 0 && count == LARGE);
    GIVES(nyario_join(writer, NULL), 0);
}

static void closes_both(int one, int other) {
    void *result;
    nyario_fiber reader = nyario_spawn(waits, &one);
    nyario_yield();
    GIVES(nyario_close(one), 0);
    GIVES(nyario_join(reader, &result), 0);
    CHECK((intptr_t)result == -EBADF);
    GIVES(nyario_close(other), 0);
    GIVES(nyario_close(other), -EBADF);
}

static void *use_sockets(void *arg) {
    int ends[2];
    char byte;
    (void)arg;
    GIVES(nyario_socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK(fcntl(ends[0], F_GETFD) & fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
    converse((struct ends){ends[0], ends[0]}, (struct ends){ends[1], ends[1]});
    GIVES(nyario_close(ends[0]), 0);

    GIVES(nyario_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    GIVES(nyario_write(ends[0], "two", 3), 3);
    GIVES(nyario_write(ends[0], "messages", 8), 8);
    GIVES(nyario_read(ends[1], &byte, 1), 1);
    GIVES(nyario_read(ends[1], &byte, 1), 1);
    CHECK(byte == 'm');
    closes_both(ends[0], ends[1]);
    return NULL;
}

static void *use_pipes(void *arg) {
    int there[2], back[2];
    char byte;
    (void)arg;
    GIVES(nyario_pipe(there), 0);
    GIVES(nyario_pipe(back), 0);
    CHECK((fcntl(there[0], F_GETFL) & O_NONBLOCK) == 0 && (fcntl(there[1], F_GETFD) & FD_CLOEXEC));
    /* A pipe is no socket, and the wrong end is none of it: nobody waits for what never comes. */
    GIVES(nyario_recv(there[0], &byte, 1, 0), -ENOTSOCK);
    GIVES(nyario_send(there[1], &byte, 1, 0), -ENOTSOCK);
    GIVES(nyario_write(there[0], "x", 1), -EBADF);
    GIVES(nyario_read(there[1], &byte, 1), -EBADF);
    converse((struct ends){back[0], there[1]}, (struct ends){there[0], back[1]});
    GIVES(nyario_close(there[0]), 0);
    GIVES(nyario_close(there[1]), 0);
    GIVES(nyario_close(back[0]), 0);
    GIVES(nyario_pipe(there), 0);
    closes_both(there[0], there[1]);
    return NULL;
}

static void on_fibers(void) {
    on_fiber(use_sockets, NULL);
    on_fiber(use_pipes, NULL);
}

static void off_fibers(void) {
    int ends[2];
    char byte;
    GIVES(nyario_pipe(ends), 0);
    GIVES(nyario_write(ends[1], "!", 1), 1);
    GIVES(nyario_read(ends[0], &byte, 1), 1);
    GIVES(nyario_close(ends[1]), 0);
    GIVES(nyario_read(ends[0], &byte, 1), 0);
    GIVES(nyario_close(ends[0]), 0);
}

static void refuse_bad_arguments(void) {
    int ends[2];
    GIVES(nyario_pipe(NULL), -EINVAL);
    GIVES(nyario_socketpair(AF_UNIX, SOCK_STREAM, 0, NULL), -EINVAL);
    GIVES(nyario_socketpair(AF_INET, SOCK_STREAM, 0, ends), -EOPNOTSUPP);
    GIVES(nyario_socketpair(AF_UNIX, 77, 0, ends), -EINVAL);
}

int main(void) {
    TEST(on_fibers);
    TEST(off_fibers);
    TEST(refuse_bad_arguments);
    return summary("pairs");
}
