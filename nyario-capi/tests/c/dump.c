/* What a loop says it is busy with. */
#include "check.h"
#include <poll.h>
#include <semaphore.h>

static const int64_t MILLISECOND = 1000000;

static nyario_mutex mutex = NYARIO_MUTEX_INIT;
static nyario_rwlock rwlock = NYARIO_RWLOCK_INIT;
static nyario_cond cond = NYARIO_COND_INIT;
static nyario_mutex cond_mutex = NYARIO_MUTEX_INIT;
static nyario_group group = NYARIO_GROUP_INIT;
static nyario_semaphore semaphore = NYARIO_SEMAPHORE_INIT;
static int ends[2], more_ends[2];
static nyario_fiber sleeper;
static sem_t blocked;

static void *waits_for_read(void *arg) {
    char buf[8];
    GIVES(nyario_read(ends[0], buf, sizeof buf), -ECANCELED);
    return arg;
}

static void *waits_for_recv(void *arg) {
    char buf[8];
    nyario_deadline(nyario_now() + 3600 * 1000 * MILLISECOND);
    GIVES(nyario_recv(ends[1], buf, sizeof buf, 0), -ECANCELED);
    return arg;
}

static void *waits_for_poll(void *arg) {
    struct pollfd fds[2] = {{.fd = more_ends[0], .events = POLLIN}, {.fd = more_ends[1], .events = POLLIN}};
    GIVES(nyario_poll(fds, 2, -1), -ECANCELED);
    return arg;
}

static void *waits_for_sleep(void *arg) {
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ECANCELED);
    return arg;
}

static void *waits_for_join(void *arg) {
    GIVES(nyario_join(sleeper, NULL), -ECANCELED);
    return arg;
}

static void *waits_for_mutex(void *arg) {
    GIVES(nyario_mutex_lock(&mutex), -ECANCELED);
    return arg;
}

static void *waits_for_rwlock(void *arg) {
    GIVES(nyario_rwlock_read(&rwlock), -ECANCELED);
    return arg;
}

static void *waits_for_condition(void *arg) {
    GIVES(nyario_mutex_lock(&cond_mutex), 0);
    GIVES(nyario_cond_wait(&cond, &cond_mutex), -ECANCELED);
    GIVES(nyario_mutex_unlock(&cond_mutex), 0);
    return arg;
}

static void *waits_for_group(void *arg) {
    GIVES(nyario_group_wait(&group), -ECANCELED);
    return arg;
}

static void *waits_for_semaphore(void *arg) {
    GIVES(nyario_semaphore_wait(&semaphore), -ECANCELED);
    return arg;
}

static void *blocks(void *arg) {
    while (sem_wait(&blocked) != 0)
        ;
    return arg;
}

static void *waits_for_a_thread(void *arg) {
    GIVES(nyario_blocking(blocks, arg, NULL), 0);
    return arg;
}

static void *is_ready(void *arg) {
    GIVES(nyario_yield(), 0);
    return arg;
}

/* What nyario_dump writes, each number of milliseconds a '#'. */
static void dump(char text[4096]) {
    int pipe_ends[2];
    char *from, *to;
    ssize_t length;
    CHECK(pipe(pipe_ends) == 0);
    GIVES(nyario_dump(pipe_ends[1]), 0);
    length = read(pipe_ends[0], text, 4095);
    CHECK(length > 0);
    text[length > 0 ? length : 0] = 0;
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    for (from = to = text; *from; *to++ = *from++) {
        size_t digits = strspn(from, "0123456789");
        if (digits > 0 && strncmp(from + digits, " ms", 3) == 0) {
            *to++ = '#';
            from += digits;
        } else if (digits > 0) {
            memmove(to, from, digits);
            to += digits;
            from += digits;
        }
    }
    *to = 0;
}

enum { FIBERS = 12 };

static const struct {
    nyario_entry entry;
    const char *name;
    const char *line;
} known[FIBERS] = {
    {waits_for_sleep, "sleeper", " \"sleeper\": in sleep for # ms\n"},
    {waits_for_read, NULL, ": in read on fd 100 for # ms\n"},
    {waits_for_recv, "with a \"deadline\"", " \"with a \\\"deadline\\\"\": in recv on fd 101 for # ms, deadline in # ms\n"},
    {waits_for_poll, NULL, ": in poll on fd 102, 103 for # ms\n"},
    {waits_for_join, NULL, ": in join for # ms\n"},
    {waits_for_mutex, NULL, ": in mutex for # ms\n"},
    {waits_for_rwlock, NULL, ": in rwlock for # ms\n"},
    {waits_for_condition, NULL, ": in condition for # ms\n"},
    {waits_for_group, NULL, ": in group for # ms\n"},
    {waits_for_semaphore, NULL, ": in semaphore for # ms\n"},
    {waits_for_a_thread, NULL, ": in offload for # ms\n"},
    {is_ready, "yields", " \"yields\": ready\n"},
};

/* Two connected sockets at numbers of our choice. */
static void pair_at(int number, int pair[2]) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(dup2(pair[i], number + i) == number + i);
        close(pair[i]);
        pair[i] = number + i;
    }
}

static void *looks(void *arg) {
    nyario_fiber fibers[FIBERS];
    char text[4096], wanted[4096] = "";
    size_t length;
    (void)arg;
    CHECK(sem_init(&blocked, 0, 0) == 0);
    pair_at(100, ends);
    pair_at(102, more_ends);
    GIVES(nyario_mutex_lock(&mutex), 0);
    GIVES(nyario_rwlock_write(&rwlock), 0);
    GIVES(nyario_group_add(&group, 1), 0);
    GIVES(nyario_set_name(nyario_self(), "console"), 0);
    nyario_deadline(nyario_now() - 5 * MILLISECOND);

    length = (size_t)snprintf(wanted, sizeof wanted, "fiber %lld \"console\": running, deadline # ms ago\n",
                              (long long)nyario_self());
    for (int i = 0; i < FIBERS; i++) {
        fibers[i] = nyario_spawn(known[i].entry, NULL);
        CHECK(fibers[i] > 0);
        GIVES(nyario_set_name(fibers[i], known[i].name), 0);
        if (i == 0)
            sleeper = fibers[0];
        length += (size_t)snprintf(wanted + length, sizeof wanted - length, "fiber %lld%s", (long long)fibers[i],
                                   known[i].line);
    }
    snprintf(wanted + length, sizeof wanted - length,
             "connections: servers 0, accepted 0 (0 without a fiber), clients 0\n");
    GIVES(nyario_yield(), 0);
    dump(text);
    CHECK(strcmp(text, wanted) == 0);
    if (strcmp(text, wanted) != 0)
        fprintf(stderr, "--- found:\n%s--- wanted:\n%s", text, wanted);

    nyario_deadline(0);
    sem_post(&blocked);
    for (int i = FIBERS; i-- > 0;) {
        if (known[i].entry != waits_for_a_thread && known[i].entry != is_ready)
            GIVES(nyario_cancel(fibers[i]), 0);
        GIVES(nyario_join(fibers[i], NULL), 0);
    }
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_rwlock_unlock(&rwlock), 0);
    for (int i = 0; i < 2; i++) {
        GIVES(nyario_close(ends[i]), 0);
        GIVES(nyario_close(more_ends[i]), 0);
    }
    return NULL;
}

static void tells_what_each_fiber_waits_for(void) {
    on_fiber(looks, NULL);
}

/* The milliseconds in the line of a fiber. */
static int64_t waited(nyario_fiber fiber) {
    char text[4096], line[64];
    int pipe_ends[2];
    long long milliseconds = -1;
    CHECK(pipe(pipe_ends) == 0);
    GIVES(nyario_dump(pipe_ends[1]), 0);
    ssize_t length = read(pipe_ends[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    snprintf(line, sizeof line, "fiber %lld: in sleep for ", (long long)fiber);
    char *at = strstr(text, line);
    CHECK(at != NULL && sscanf(at + strlen(line), "%lld", &milliseconds) == 1);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return milliseconds * MILLISECOND;
}

static void *looks_twice(void *arg) {
    enum { OFF = 25 };
    int64_t before = *(int64_t *)arg;
    nyario_fiber fiber = nyario_spawn(waits_for_sleep, NULL);
    for (int i = 0; i < 3; i++) {
        int64_t began = nyario_now();
        GIVES(nyario_sleep(60 * MILLISECOND), 0);
        /* What is told is as old as the loop's last look at the clock. */
        GIVES(nyario_sleep(0), 0);
        int64_t told = waited(fiber);
        CHECK(told <= nyario_now() - before + OFF * MILLISECOND);
        CHECK(told >= (i + 1) * 60 * MILLISECOND - OFF * MILLISECOND);
        CHECK(nyario_now() - began >= 60 * MILLISECOND);
    }
    GIVES(nyario_cancel(fiber), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    return NULL;
}

static void tells_for_how_long(void) {
    int64_t before = nyario_now();
    on_fiber(looks_twice, &before);
}

static char address[128];

static void *dials(void *arg) {
    char text[4096];
    int mute = nyario_dial(address), fd = nyario_dial(address);
    char wanted[256];
    check_echo(fd, "hello");
    dump(text);
    snprintf(wanted, sizeof wanted, "fiber %lld: running\n", (long long)nyario_self());
    CHECK(strncmp(text, wanted, strlen(wanted)) == 0);
    CHECK(strstr(text, ": in read on fd ") != NULL);
    CHECK(strstr(text, "connections: servers 1, accepted 2 (1 without a fiber), clients 2\n") != NULL);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_close(mute), 0);
    GIVES(nyario_stop(), 0);
    return arg;
}

static void counts_connections(void) {
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(dials, NULL);
}

static void refuses_what_it_cannot_write_to(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    GIVES(nyario_dump(fd), -EBADF);
    GIVES(nyario_dump(-1), -EBADF);
    close(fd);
}

static void knows_no_loop_that_is_not_there(void) {
    GIVES(nyario_dump(1), -ESRCH);
}

int main(void) {
    TEST(knows_no_loop_that_is_not_there);
    TEST(tells_what_each_fiber_waits_for);
    TEST(tells_for_how_long);
    TEST(counts_connections);
    TEST(refuses_what_it_cannot_write_to);
    return summary("dump");
}
