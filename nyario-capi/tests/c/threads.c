/* Many threads, each with a loop of its own. */
#include "check.h"
#include <pthread.h>

enum { THREADS = 8, ROUND_TRIPS = 500 };

static void *asks_often(void *arg) {
    int fd = nyario_dial(arg);
    CHECK(fd >= 0);
    for (int i = 0; i < ROUND_TRIPS; i++)
        check_echo(fd, "ping");
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void *serves_and_asks(void *arg) {
    char address[128];
    (void)arg;
    GIVES(nyario_stop(), -ESRCH);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(asks_often, address);
    return NULL;
}

static void have_loops_of_their_own(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, serves_and_asks, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *registers_and_leaves(void *arg) {
    open_server("127.0.0.1:0", sends_back, NULL, 0, arg);
    return NULL;
}

/* The loop goes with its thread, though it has never run. */
static void take_their_servers_with_them(void) {
    char address[128];
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, registers_and_leaves, address) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    GIVES(nyario_dial(address), -ECONNREFUSED);
}

static int lowest_free_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static void come_and_go(void) {
    pthread_t thread;
    int before = lowest_free_descriptor();
    for (int i = 0; i < 100; i++) {
        CHECK(pthread_create(&thread, NULL, serves_and_asks, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    /* Whatever a loop needs is given back with it. */
    CHECK(lowest_free_descriptor() == before);
}

int main(void) {
    TEST(have_loops_of_their_own);
    TEST(take_their_servers_with_them);
    TEST(come_and_go);
    return summary("threads");
}
