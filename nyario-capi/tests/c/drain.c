/* An end that gives those who are served some time. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;
static const int64_t HOUR = 3600LL * 1000 * 1000000;

struct guests {
    char address[128];
    int idle, busy;
};

/* One connection that has a fiber, and one that has none. */
static void come(struct guests *guests) {
    guests->idle = nyario_dial(guests->address);
    guests->busy = nyario_dial(guests->address);
    CHECK(guests->idle >= 0 && guests->busy >= 0);
    check_echo(guests->busy, "hello");
}

static void *ends(void *arg) {
    struct guests *guests = arg;
    char byte;
    come(guests);
    GIVES(nyario_drain(-1), -EINVAL);
    GIVES(nyario_drain(HOUR), 0);
    GIVES(nyario_read(guests->idle, &byte, 1), 0);
    GIVES(nyario_dial(guests->address), -ECONNREFUSED);
    for (int i = 0; i < 10; i++) {
        check_echo(guests->busy, "still there?");
        GIVES(nyario_sleep(MILLISECOND), 0);
    }
    GIVES(nyario_close(guests->busy), 0);
    GIVES(nyario_close(guests->idle), 0);
    return NULL;
}

/* The loop ends when the last fiber has, without a stop. */
static void waits_for_fibers(void) {
    struct guests guests;
    open_server("127.0.0.1:0", sends_back, NULL, 0, guests.address);
    on_fiber(ends, &guests);
}

static void *is_cut_short(void *arg) {
    struct guests *guests = arg;
    char byte;
    come(guests);
    GIVES(nyario_drain(5 * MILLISECOND), 0);
    GIVES(nyario_read(guests->busy, &byte, 1), -ECANCELED);
    CHECK(nyario_close(guests->busy) == 0 && nyario_close(guests->idle) == 0);
    return NULL;
}

static void ends_after_the_grace(void) {
    struct guests guests;
    int64_t begin = nyario_now();
    open_server("127.0.0.1:0", sends_back, NULL, 0, guests.address);
    on_fiber(is_cut_short, &guests);
    CHECK(nyario_now() - begin >= 5 * MILLISECOND);
}

static void on_signal(int signal) {
    (void)signal;
    nyario_drain(HOUR);
}

static void *raises(void *arg) {
    struct guests *guests = arg;
    come(guests);
    CHECK(raise(SIGUSR1) == 0);
    check_echo(guests->busy, "after the signal");
    GIVES(nyario_close(guests->busy), 0);
    GIVES(nyario_close(guests->idle), 0);
    return NULL;
}

static void may_be_asked_for_by_a_signal(void) {
    struct guests guests;
    signal(SIGUSR1, on_signal);
    open_server("127.0.0.1:0", sends_back, NULL, 0, guests.address);
    on_fiber(raises, &guests);
    signal(SIGUSR1, SIG_DFL);
}

static void needs_a_loop(void) {
    pid_t child = fork();
    if (child == 0) {
        GIVES(nyario_drain(0), -ESRCH);
        GIVES(nyario_drain(-1), -EINVAL);
        _exit(atomic_load(&failures));
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
    TEST(waits_for_fibers);
    TEST(ends_after_the_grace);
    TEST(may_be_asked_for_by_a_signal);
    TEST(needs_a_loop);
    return summary("drain");
}
