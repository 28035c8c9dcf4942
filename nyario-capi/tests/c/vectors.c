/* Several buffers at once, over sockets, pipes and files. */
#include "check.h"

#include <sys/uio.h>

static const int64_t MILLISECOND = 1000000;

enum { PARTS = 100, BIG = 4 << 20 };

static unsigned char outgoing[BIG], incoming[BIG];

struct way {
    int from, to;
    ssize_t result;
};

/* Cuts a block into parts of many sizes, some of them empty. */
static int cut(struct iovec parts[PARTS], unsigned char *block, size_t len) {
    size_t at = 0;
    for (int i = 0; i < PARTS; i++) {
        size_t size = i == PARTS - 1 ? len - at : i % 7 == 3 ? 0 : len / (PARTS + (size_t)(i % 13) * 10);
        parts[i].iov_base = block + at;
        parts[i].iov_len = size;
        at += size;
    }
    return PARTS;
}

static void *gathers(void *arg) {
    struct way *way = arg;
    struct iovec parts[PARTS];
    int count = cut(parts, outgoing, BIG);
    GIVES(nyario_writev(way->to, parts, count), BIG);
    GIVES(nyario_close(way->to), 0);
    return NULL;
}

static void *scatters(void *arg) {
    struct way *way = arg;
    struct iovec parts[PARTS];
    size_t have = 0;
    ssize_t n;
    nyario_fiber gathering = nyario_spawn(gathers, way);
    memset(incoming, 0, BIG);
    while (have < BIG) {
        int count = cut(parts, incoming + have, BIG - have);
        if ((n = nyario_readv(way->from, parts, count)) <= 0)
            break;
        have += (size_t)n;
    }
    CHECK(have == BIG && memcmp(incoming, outgoing, BIG) == 0);
    GIVES(nyario_join(gathering, NULL), 0);
    GIVES(nyario_readv(way->from, &(struct iovec){incoming, 1}, 1), 0);
    GIVES(nyario_close(way->from), 0);
    return NULL;
}

static void carry_everything_over_a_socket(void) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    on_fiber(scatters, &(struct way){ends[0], ends[1], 0});
}

static void carry_everything_over_a_pipe(void) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    on_fiber(scatters, &(struct way){ends[0], ends[1], 0});
}

static void *uses_a_file(void *arg) {
    struct iovec parts[PARTS];
    int file = fileno(arg);
    GIVES(nyario_writev(file, parts, cut(parts, outgoing, 50000)), 50000);
    CHECK(lseek(file, 0, SEEK_SET) == 0);
    memset(incoming, 0, 50000);
    GIVES(nyario_readv(file, parts, cut(parts, incoming, 50000)), 50000);
    CHECK(memcmp(incoming, outgoing, 50000) == 0);
    return NULL;
}

static void read_and_write_files(void) {
    FILE *file = tmpfile();
    on_fiber(uses_a_file, file);
    fclose(file);
}

static void *reads_parts(void *arg) {
    struct way *way = arg;
    char buf[4];
    struct iovec parts[2] = {{buf, 2}, {buf + 2, 2}};
    way->result = nyario_readv(way->from, parts, 2);
    return NULL;
}

static void *writes_parts(void *arg) {
    struct way *way = arg;
    struct iovec parts[PARTS];
    int count = cut(parts, outgoing, BIG);
    ssize_t written = nyario_writev(way->to, parts, count);
    CHECK(written > 0 && written < BIG);
    way->result = nyario_writev(way->to, parts, count);
    return NULL;
}

static void *reads_until(void *arg) {
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    return reads_parts(arg);
}

static void *ends_waits(void *arg) {
    const nyario_entry waits[] = {reads_parts, writes_parts};
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int ends[2];
        struct way way;
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        way.from = ends[0];
        way.to = ends[1];
        nyario_fiber waiting = nyario_spawn(waits[i], &way);
        CHECK(nyario_sleep(2 * MILLISECOND) == 0);
        GIVES(nyario_cancel(waiting), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(way.result == -ECANCELED);
        GIVES(nyario_close(way.from), 0);
        GIVES(nyario_close(way.to), 0);
    }
    for (int i = 0; i < 2; i++) {
        int ends[2];
        struct way way;
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        way.from = ends[0];
        way.to = ends[1];
        nyario_fiber waiting = nyario_spawn(i ? reads_until : reads_parts, &way);
        CHECK(nyario_sleep(MILLISECOND) == 0);
        if (i == 0)
            GIVES(nyario_close(way.from), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(way.result == (i ? -ETIMEDOUT : -EBADF));
        if (i)
            GIVES(nyario_close(way.from), 0);
        GIVES(nyario_close(way.to), 0);
    }
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

static void refuse_bad_arguments(void) {
    static struct iovec many[1025];
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    GIVES(nyario_readv(ends[0], NULL, 1), -EINVAL);
    GIVES(nyario_writev(ends[1], NULL, 1), -EINVAL);
    GIVES(nyario_readv(ends[0], many, -1), -EINVAL);
    GIVES(nyario_writev(ends[1], many, 1025), -EINVAL);
    GIVES(nyario_readv(ends[0], many, 1025), -EINVAL);
    GIVES(nyario_readv(ends[0], NULL, 0), 0);
    GIVES(nyario_readv(ends[0], many, 1024), 0);
    GIVES(nyario_writev(ends[1], many, 0), 0);
    GIVES(nyario_writev(ends[1], many, 1024), 0);
    GIVES(nyario_readv(-1, many, 1), -EBADF);
    GIVES(nyario_writev(-1, many, 1), -EBADF);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
}

int main(void) {
    for (size_t i = 0; i < BIG; i++)
        outgoing[i] = (unsigned char)(i * 2654435761u >> 24);
    TEST(carry_everything_over_a_socket);
    TEST(carry_everything_over_a_pipe);
    TEST(read_and_write_files);
    TEST(end_early);
    TEST(refuse_bad_arguments);
    return summary("vectors");
}
