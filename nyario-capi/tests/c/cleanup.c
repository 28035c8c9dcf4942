/* What is done when a fiber ends, and ending from any depth. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

static char trace[32];

static void signs(void *arg) {
    strncat(trace, arg, 1);
}

static void *signs_and_returns(void *arg) {
    GIVES(nyario_cleanup_push(signs, "a"), 0);
    GIVES(nyario_cleanup_push(signs, "b"), 0);
    GIVES(nyario_cleanup_push(NULL, NULL), -EINVAL);
    return arg;
}

static void dives(int depth, void *result) {
    volatile char frame[100];
    frame[0] = (char)depth;
    if (depth == 0 && nyario_exit(result) < 0)
        return;
    dives(depth - 1, result);
    trace[0] = frame[0] = '!';
}

static void *signs_and_exits(void *arg) {
    signs_and_returns(arg);
    dives(50, arg);
    CHECK(0);
    return NULL;
}

static void are_called_backwards_however_a_fiber_ends(void) {
    nyario_entry entries[] = {signs_and_returns, signs_and_exits};
    for (int i = 0; i < 2; i++) {
        void *result = NULL;
        trace[0] = 0;
        nyario_fiber fiber = nyario_spawn(entries[i], &result);
        GIVES(nyario_loop(), 0);
        CHECK(strcmp(trace, "ba") == 0);
        GIVES(nyario_join(fiber, &result), 0);
        CHECK(result == &result);
    }
}

static void *pops(void *arg) {
    GIVES(nyario_cleanup_pop(1), -EINVAL);
    signs_and_returns(arg);
    GIVES(nyario_cleanup_push(signs, "c"), 0);
    GIVES(nyario_cleanup_pop(0), 0);
    CHECK(strcmp(trace, "") == 0);
    GIVES(nyario_cleanup_pop(1), 0);
    CHECK(strcmp(trace, "b") == 0);
    return arg;
}

static void can_be_taken_back(void) {
    trace[0] = 0;
    on_fiber(pops, NULL);
    CHECK(strcmp(trace, "ba") == 0);
    GIVES(nyario_cleanup_push(signs, "x"), -EINVAL);
    GIVES(nyario_cleanup_pop(1), -EINVAL);
    GIVES(nyario_exit(NULL), -EINVAL);
}

static void sleeps(void *arg) {
    GIVES(nyario_sleep(MILLISECOND), (intptr_t)arg);
}

static void lifts_the_deadline(void *arg) {
    (void)arg;
    CHECK(nyario_deadline(0) > 0);
}

static void *runs_out_of_time(void *arg) {
    GIVES(nyario_cleanup_push(sleeps, (void *)0), 0);
    GIVES(nyario_cleanup_push(lifts_the_deadline, NULL), 0);
    GIVES(nyario_cleanup_push(sleeps, (void *)(intptr_t)-ETIMEDOUT), 0);
    nyario_deadline(nyario_now());
    GIVES(nyario_sleep(MILLISECOND), -ETIMEDOUT);
    return arg;
}

static void *is_cancelled(void *arg) {
    GIVES(nyario_cleanup_push(sleeps, (void *)0), 0);
    GIVES(nyario_cleanup_push(sleeps, (void *)(intptr_t)-ECANCELED), 0);
    GIVES(nyario_cancel(nyario_self()), 0);
    return arg;
}

static void are_subject_to_deadline_and_cancel(void) {
    on_fiber(runs_out_of_time, NULL);
    on_fiber(is_cancelled, NULL);
}

static void says_goodbye(void *arg) {
    GIVES(nyario_write((int)(intptr_t)arg, "bye", 3), 3);
}

static void leaves_early(int fd, void *arg) {
    (void)arg;
    GIVES(nyario_cleanup_push(says_goodbye, (void *)(intptr_t)fd), 0);
    nyario_exit(NULL);
}

static void *visits(void *arg) {
    char text[4] = "";
    int fd = nyario_dial(arg);
    CHECK(fd >= 0);
    CHECK(read_all(fd, text, 3));
    CHECK(strcmp(text, "bye") == 0);
    GIVES(nyario_read(fd, text, 1), 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void come_before_the_connections_end(void) {
    char address[128];
    open_server("127.0.0.1:0", leaves_early, NULL, NYARIO_EAGER, address);
    on_fiber(visits, address);
}

static int calls;

static void exits(void *arg) {
    if (++calls == 3)
        GIVES(nyario_timer_cancel(*(nyario_timer *)arg), 0);
    nyario_exit(NULL);
}

static void let_timers_go_on(void) {
    nyario_timer timer = nyario_every(MILLISECOND / 4, exits, &timer);
    GIVES(nyario_loop(), 0);
    CHECK(calls == 3);
}

int main(void) {
    TEST(are_called_backwards_however_a_fiber_ends);
    TEST(can_be_taken_back);
    TEST(are_subject_to_deadline_and_cancel);
    TEST(come_before_the_connections_end);
    TEST(let_timers_go_on);
    return summary("cleanup");
}
