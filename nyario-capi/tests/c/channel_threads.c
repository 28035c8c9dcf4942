/* Channels between threads: fibers of several loops, and threads that run none. */
#include "check.h"
#include <pthread.h>

enum { EACH = 500, FIBERS = 4 };

static nyario_channel work = NYARIO_CHANNEL_INIT(sizeof(long), 8), results = NYARIO_CHANNEL_INIT(sizeof(long), 0);

static void *doubles(void *arg) {
    long number;
    while (nyario_channel_receive(&work, &number) == 0) {
        number *= 2;
        GIVES(nyario_channel_send(&results, &number), 0);
    }
    return arg;
}

static void *doubles_on_fibers(void *arg) {
    for (int i = 0; i < FIBERS; i++)
        GIVES(nyario_detach(nyario_spawn(doubles, NULL)), 0);
    GIVES(nyario_loop(), 0);
    return arg;
}

static void *gives_work(void *arg) {
    for (long i = 1; i <= EACH; i++)
        GIVES(nyario_channel_send(&work, &i), 0);
    return arg;
}

static void *gives_work_on_a_fiber(void *arg) {
    on_fiber(gives_work, arg);
    return arg;
}

static void share_work_out(void) {
    pthread_t workers[3], givers[2];
    long sum = 0, result;
    CHECK(pthread_create(&workers[0], NULL, doubles_on_fibers, NULL) == 0);
    CHECK(pthread_create(&workers[1], NULL, doubles_on_fibers, NULL) == 0);
    CHECK(pthread_create(&workers[2], NULL, doubles, NULL) == 0);
    CHECK(pthread_create(&givers[0], NULL, gives_work, NULL) == 0);
    CHECK(pthread_create(&givers[1], NULL, gives_work_on_a_fiber, NULL) == 0);
    for (int i = 0; i < 2 * EACH; i++) {
        GIVES(nyario_channel_receive(&results, &result), 0);
        sum += result;
    }
    CHECK(sum == 2L * EACH * (EACH + 1));
    GIVES(nyario_channel_close(&work), 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(workers[i], NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(givers[i], NULL) == 0);
    GIVES(nyario_channel_destroy(&work), 0);
    GIVES(nyario_channel_destroy(&results), 0);
}

static nyario_channel there = NYARIO_CHANNEL_INIT(sizeof(int), 0), back = NYARIO_CHANNEL_INIT(sizeof(int), 0);

static void *answers(void *arg) {
    int got, quit = 0;
    while (!quit) {
        nyario_case cases[] = {NYARIO_CASE_RECEIVE(&there, &got), NYARIO_CASE_RECEIVE(arg, NULL)};
        int chosen = nyario_choose(cases, 2, 0);
        CHECK(chosen == 0 || chosen == 1);
        quit = chosen != 0;
        if (!quit)
            GIVES(nyario_channel_send(&back, &got), 0);
    }
    return NULL;
}

static void *answers_on_a_fiber(void *arg) {
    on_fiber(answers, arg);
    return NULL;
}

static void choose_across_threads(void) {
    nyario_channel quit = NYARIO_CHANNEL_INIT(0, 0);
    pthread_t threads[2];
    int got;
    CHECK(pthread_create(&threads[0], NULL, answers, &quit) == 0);
    CHECK(pthread_create(&threads[1], NULL, answers_on_a_fiber, &quit) == 0);
    for (int i = 0; i < EACH; i++) {
        GIVES(nyario_channel_send(&there, &i), 0);
        GIVES(nyario_channel_receive(&back, &got), 0);
        CHECK(got == i);
    }
    GIVES(nyario_channel_send(&quit, NULL), 0);
    GIVES(nyario_channel_close(&quit), 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    GIVES(nyario_channel_destroy(&quit), 0);
    GIVES(nyario_channel_destroy(&there), 0);
    GIVES(nyario_channel_destroy(&back), 0);
}

int main(void) {
    TEST(share_work_out);
    TEST(choose_across_threads);
    return summary("channel_threads");
}
