/* sendfile and splice: bytes that do not pass through the program's memory. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

enum { BIG = 6 << 20 };

static unsigned char content[BIG], incoming[BIG];

/* A file with that content, and two ends of a connection by nyario. */
struct way {
    int file, listener, here, there;
    int pipe[2];
    nyario_fiber other;
    ssize_t result;
};

static void *answers_the_call(void *arg) {
    struct way *way = arg;
    way->there = nyario_accept(way->listener, NULL, NULL);
    CHECK(way->there >= 0);
    return NULL;
}

static void open_way(struct way *way) {
    char address[128];
    FILE *file = tmpfile();
    way->file = dup(fileno(file));
    fclose(file);
    CHECK(nyario_write(way->file, content, BIG) == BIG && lseek(way->file, 0, SEEK_SET) == 0);
    way->listener = nyario_listen("127.0.0.1:0");
    CHECK(nyario_address(way->listener, address, sizeof address) > 0);
    nyario_fiber answering = nyario_spawn(answers_the_call, way);
    way->here = nyario_dial(address);
    CHECK(way->here >= 0);
    GIVES(nyario_join(answering, NULL), 0);
    CHECK(pipe2(way->pipe, O_CLOEXEC) == 0);
}

static void close_way(struct way *way) {
    int all[] = {way->file, way->listener, way->here, way->there, way->pipe[0], way->pipe[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            GIVES(nyario_close(all[i]), 0);
}

static void *reads_everything(void *arg) {
    struct way *way = arg;
    memset(incoming, 0, BIG);
    CHECK(read_all(way->here, incoming, BIG));
    CHECK(memcmp(incoming, content, BIG) == 0);
    return NULL;
}

static void *sends_a_file(void *arg) {
    struct way way;
    int64_t offset = 0;
    (void)arg;
    open_way(&way);
    nyario_fiber reading = nyario_spawn(reads_everything, &way);
    GIVES(nyario_sendfile(way.there, way.file, &offset, BIG), BIG);
    CHECK(offset == BIG && lseek(way.file, 0, SEEK_CUR) == 0);
    GIVES(nyario_join(reading, NULL), 0);
    /* From its own position, which moves, and past the end. */
    reading = nyario_spawn(reads_everything, &way);
    GIVES(nyario_sendfile(way.there, way.file, NULL, 1000), 1000);
    GIVES(nyario_sendfile(way.there, way.file, NULL, (size_t)1 << 40), BIG - 1000);
    GIVES(nyario_sendfile(way.there, way.file, NULL, 1), 0);
    GIVES(nyario_join(reading, NULL), 0);
    close_way(&way);
    return NULL;
}

static void send_a_file(void) {
    on_fiber(sends_a_file, NULL);
}

static void *feeds_the_way(void *arg) {
    struct way *way = arg;
    GIVES(nyario_write(way->here, content, BIG), BIG);
    GIVES(nyario_shutdown(way->here, SHUT_WR), 0);
    return NULL;
}

static void *empties_the_pipe(void *arg) {
    struct way *way = arg;
    memset(incoming, 0, BIG);
    CHECK(read_all(way->pipe[0], incoming, BIG));
    CHECK(memcmp(incoming, content, BIG) == 0);
    return NULL;
}

static void *splices_to_a_pipe(void *arg) {
    struct way way;
    ssize_t n, total = 0;
    char buf[10];
    (void)arg;
    open_way(&way);
    /* A read first, so that what follows may be received ahead. */
    GIVES(nyario_write(way.here, "hello", 5), 5);
    GIVES(nyario_read(way.there, buf, sizeof buf), 5);
    nyario_fiber emptying = nyario_spawn(empties_the_pipe, &way);
    nyario_fiber feeding = nyario_spawn(feeds_the_way, &way);
    while ((n = nyario_splice(way.there, NULL, way.pipe[1], NULL, 100000, 0)) > 0)
        total += n;
    CHECK(n == 0 && total == BIG);
    GIVES(nyario_join(feeding, NULL), 0);
    GIVES(nyario_join(emptying, NULL), 0);
    close_way(&way);
    return NULL;
}

static void splice_a_connection_into_a_pipe(void) {
    on_fiber(splices_to_a_pipe, NULL);
}

enum { NARROW = 4096, HELD = 40001 };

static void *empties_the_narrow_pipe(void *arg) {
    struct way *way = arg;
    char stuffing[NARROW];
    CHECK(read_all(way->pipe[0], stuffing, NARROW));
    CHECK(read_all(way->pipe[0], incoming + 1, HELD - 1));
    CHECK(memcmp(incoming, content, HELD) == 0);
    return NULL;
}

/* The pipe is full at first, and always too narrow for what was received ahead. */
static void *splices_to_a_narrow_pipe(void *arg) {
    struct way way;
    char stuffing[NARROW] = "";
    ssize_t n;
    (void)arg;
    open_way(&way);
    CHECK(fcntl(way.pipe[1], F_SETPIPE_SZ, NARROW) == NARROW);
    CHECK(write(way.pipe[1], stuffing, NARROW) == NARROW);
    memset(incoming, 0, HELD);
    GIVES(nyario_write(way.there, content, HELD), HELD);
    GIVES(nyario_shutdown(way.there, SHUT_WR), 0);
    GIVES(nyario_read(way.here, incoming, 1), 1);
    nyario_fiber emptying = nyario_spawn(empties_the_narrow_pipe, &way);
    while ((n = nyario_splice(way.here, NULL, way.pipe[1], NULL, HELD, 0)) > 0)
        continue;
    CHECK(n == 0);
    GIVES(nyario_close(way.pipe[1]), 0);
    way.pipe[1] = -1;
    GIVES(nyario_join(emptying, NULL), 0);
    close_way(&way);
    return NULL;
}

static void splice_as_much_as_the_pipe_takes(void) {
    on_fiber(splices_to_a_narrow_pipe, NULL);
}

static void *fills_the_pipe(void *arg) {
    struct way *way = arg;
    GIVES(nyario_write(way->pipe[1], content, BIG), BIG);
    GIVES(nyario_close(way->pipe[1]), 0);
    way->pipe[1] = -1;
    return NULL;
}

static void *splices_from_a_pipe(void *arg) {
    struct way way;
    ssize_t n, total = 0;
    (void)arg;
    open_way(&way);
    nyario_fiber reading = nyario_spawn(reads_everything, &way);
    nyario_fiber filling = nyario_spawn(fills_the_pipe, &way);
    while ((n = nyario_splice(way.pipe[0], NULL, way.there, NULL, BIG, 0)) > 0)
        total += n;
    CHECK(n == 0 && total == BIG);
    GIVES(nyario_join(filling, NULL), 0);
    GIVES(nyario_join(reading, NULL), 0);
    close_way(&way);
    return NULL;
}

static void splice_a_pipe_into_a_connection(void) {
    on_fiber(splices_from_a_pipe, NULL);
}

static void *splices_in(void *arg) {
    struct way *way = arg;
    way->result = nyario_splice(way->there, NULL, way->pipe[1], NULL, 100, 0);
    return NULL;
}

static void *splices_out(void *arg) {
    struct way *way = arg;
    do
        way->result = nyario_splice(way->pipe[0], NULL, way->there, NULL, 65536, 0);
    while (way->result > 0 && nyario_write(way->pipe[1], content, 4096) > 0);
    return NULL;
}

static void *sends_much(void *arg) {
    struct way *way = arg;
    int64_t offset;
    do {
        offset = 0;
        way->result = nyario_sendfile(way->there, way->file, &offset, BIG);
    } while (way->result > 0);
    return NULL;
}

static const nyario_entry WAITS[] = {splices_in, splices_out, sends_much};

static void *waits_with_a_deadline(void *arg) {
    struct way *way = arg;
    GIVES(nyario_deadline(nyario_now() + 5 * MILLISECOND), 0);
    for (size_t i = 0; i < sizeof WAITS / sizeof *WAITS; i++) {
        WAITS[i](way);
        CHECK(way->result == -ETIMEDOUT);
    }
    return NULL;
}

static void *ends_waits(void *arg) {
    (void)arg;
    for (size_t i = 0; i < sizeof WAITS / sizeof *WAITS; i++)
        for (int closed = 0; closed < 2; closed++) {
            struct way way;
            open_way(&way);
            nyario_fiber waiting = nyario_spawn(WAITS[i], &way);
            CHECK(nyario_sleep(5 * MILLISECOND) == 0);
            if (closed)
                GIVES(nyario_close(way.there), 0);
            else
                GIVES(nyario_cancel(waiting), 0);
            GIVES(nyario_join(waiting, NULL), 0);
            CHECK(way.result == (closed ? -EBADF : -ECANCELED));
            if (closed)
                way.there = -1;
            close_way(&way);
        }
    struct way way;
    open_way(&way);
    nyario_fiber late = nyario_spawn(waits_with_a_deadline, &way);
    GIVES(nyario_join(late, NULL), 0);
    close_way(&way);
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

/* No SIGPIPE, which would end the process here. */
static void *finds_nobody(void *arg) {
    struct way way;
    int64_t offset = 0;
    ssize_t n;
    (void)arg;
    open_way(&way);
    GIVES(nyario_write(way.here, "unread", 6), 6);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    GIVES(nyario_shutdown(way.there, SHUT_WR), 0);
    GIVES(nyario_sendfile(way.there, way.file, &offset, 10), -EPIPE);
    GIVES(nyario_write(way.pipe[1], "x", 1), 1);
    GIVES(nyario_splice(way.pipe[0], NULL, way.there, NULL, 10, 0), -EPIPE);
    GIVES(nyario_close(way.pipe[0]), 0);
    way.pipe[0] = -1;
    n = nyario_splice(way.there, NULL, way.pipe[1], NULL, 10, 0);
    CHECK(n == -EPIPE);
    close_way(&way);
    return NULL;
}

static void raise_no_signal(void) {
    on_fiber(finds_nobody, NULL);
}

static void *asks_badly(void *arg) {
    struct way way;
    int64_t offset = -1;
    (void)arg;
    open_way(&way);
    GIVES(nyario_sendfile(way.there, way.file, &offset, 1), -EINVAL);
    GIVES(nyario_sendfile(way.there, way.pipe[0], NULL, 1), -EINVAL);
    GIVES(nyario_sendfile(-1, way.file, NULL, 1), -EBADF);
    GIVES(nyario_sendfile(way.there, -1, NULL, 1), -EBADF);
    GIVES(nyario_splice(way.there, NULL, way.file, NULL, 1, 0), -EINVAL);
    GIVES(nyario_splice(-1, NULL, way.pipe[1], NULL, 1, 0), -EBADF);
    GIVES(nyario_splice(way.pipe[0], NULL, -1, NULL, 1, 0), -EBADF);
    offset = 0;
    GIVES(nyario_splice(way.pipe[0], &offset, way.there, NULL, 1, 0), -ESPIPE);
    GIVES(nyario_splice(way.pipe[0], NULL, way.there, NULL, 1, 2 /* SPLICE_F_NONBLOCK */), -EAGAIN);
    GIVES(nyario_splice(way.there, NULL, way.pipe[1], NULL, 1, 2), -EAGAIN);
    GIVES(nyario_splice(way.file, &offset, way.pipe[1], NULL, 100, 0), 100);
    CHECK(offset == 100);
    close_way(&way);
    return NULL;
}

static void refuse_bad_arguments(void) {
    on_fiber(asks_badly, NULL);
}

/* Off a fiber the thread waits. */
static void block_off_a_fiber(void) {
    int ends[2], pipes[2];
    char buf[4];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 && pipe2(pipes, O_CLOEXEC) == 0);
    GIVES(nyario_write(ends[0], "abcd", 4), 4);
    GIVES(nyario_splice(ends[1], NULL, pipes[1], NULL, 100, 0), 4);
    GIVES(nyario_splice(pipes[0], NULL, ends[1], NULL, 100, 0), 4);
    GIVES(nyario_read(ends[0], buf, 4), 4);
    CHECK((fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);
    for (int i = 0; i < 2; i++) {
        GIVES(nyario_close(ends[i]), 0);
        GIVES(nyario_close(pipes[i]), 0);
    }
}

int main(void) {
    for (size_t i = 0; i < BIG; i++)
        content[i] = (unsigned char)(i * 2654435761u >> 24);
    TEST(send_a_file);
    TEST(splice_a_connection_into_a_pipe);
    TEST(splice_as_much_as_the_pipe_takes);
    TEST(splice_a_pipe_into_a_connection);
    TEST(end_early);
    TEST(raise_no_signal);
    TEST(refuse_bad_arguments);
    TEST(block_off_a_fiber);
    return summary("transfer");
}
