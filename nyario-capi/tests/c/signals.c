/* Signals: a handler may stop the loop, and one that does not is of no consequence. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

static char address[128];
static int stop_gave = 1, seen;

static void stops(int signal) {
    (void)signal;
    stop_gave = nyario_stop();
}

static void only_counts(int signal) {
    (void)signal;
    seen++;
}

static void handle(int signal, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void *signals_later(void *thread) {
    GIVES(nyario_sleep(20 * MILLISECOND), 0);
    CHECK(pthread_kill(*(pthread_t *)thread, SIGTERM) == 0);
    return NULL;
}

static void stop_an_idle_loop(void) {
    pthread_t me = pthread_self(), other;
    handle(SIGTERM, stops);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    CHECK(pthread_create(&other, NULL, signals_later, &me) == 0);
    GIVES(nyario_loop(), 0);
    CHECK(stop_gave == 0);
    CHECK(pthread_join(other, NULL) == 0);
    GIVES(nyario_dial(address), -ECONNREFUSED);
}

static void *raises(void *arg) {
    (void)arg;
    CHECK(raise(SIGTERM) == 0);
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ECANCELED);
    return NULL;
}

static void stop_the_loop_from_a_fiber(void) {
    handle(SIGTERM, stops);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(raises, NULL);
}

/* A stop that comes before the loop runs is not lost: a signal may arrive at any time. */
static void stop_a_loop_that_is_about_to_run(void) {
    handle(SIGTERM, stops);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    CHECK(raise(SIGTERM) == 0);
    GIVES(nyario_loop(), 0);
}

static atomic_int done;

static void *pesters(void *thread) {
    while (!atomic_load(&done)) {
        CHECK(pthread_kill(*(pthread_t *)thread, SIGUSR1) == 0);
        GIVES(nyario_sleep(MILLISECOND / 20), 0);
    }
    return NULL;
}

static void *talks(void *arg) {
    (void)arg;
    for (int round = 0; round < 20; round++) {
        int fd = nyario_dial(address);
        CHECK(fd >= 0);
        for (int i = 0; i < 100; i++)
            check_echo(fd, "undisturbed");
        CHECK(nyario_sleep(2 * MILLISECOND) == 0);
        GIVES(nyario_close(fd), 0);
    }
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void interrupt_nothing_else(void) {
    pthread_t me = pthread_self(), other;
    handle(SIGUSR1, only_counts);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    CHECK(pthread_create(&other, NULL, pesters, &me) == 0);
    on_fiber(talks, NULL);
    /* A busy machine may not have begun with the other thread. */
    while (!seen)
        GIVES(nyario_sleep(MILLISECOND), 0);
    /* Off a fiber too: */
    int64_t before = nyario_now();
    CHECK(nyario_sleep(20 * MILLISECOND) == 0);
    CHECK(nyario_now() - before >= 20 * MILLISECOND);
    atomic_store(&done, 1);
    CHECK(pthread_join(other, NULL) == 0);
}

int main(void) {
    TEST(stop_an_idle_loop);
    TEST(stop_the_loop_from_a_fiber);
    TEST(stop_a_loop_that_is_about_to_run);
    TEST(interrupt_nothing_else);
    return summary("signals");
}
