/* Timers: what is called later, once or again and again. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

static int64_t set_at;
static int calls;

static void is_on_time(void *arg) {
    int64_t wanted = (intptr_t)arg;
    CHECK(nyario_now() - set_at >= wanted);
    CHECK(nyario_self() > 0);
    GIVES(nyario_sleep(1000), 0);
    calls++;
}

static void call_in_their_time(void) {
    calls = 0;
    set_at = nyario_now();
    for (int64_t i = 0; i < 4; i++)
        CHECK(nyario_after(i * MILLISECOND, is_on_time, (void *)(intptr_t)(i * MILLISECOND)) > 0);
    /* Whoever sets them need not wait for them. */
    GIVES(nyario_loop(), 0);
    CHECK(calls == 4);
}

static char order[8];

static void signs(void *arg) {
    strncat(order, arg, 1);
}

/* On a fiber, where all count from the same look at the clock. */
static void *sets_some(void *arg) {
    CHECK(nyario_after(30 * MILLISECOND, signs, "d") > 0);
    CHECK(nyario_after(0, signs, "a") > 0);
    CHECK(nyario_after(20 * MILLISECOND, signs, "c") > 0);
    CHECK(nyario_after(10 * MILLISECOND, signs, "b") > 0);
    return arg;
}

static void call_in_order(void) {
    order[0] = 0;
    on_fiber(sets_some, NULL);
    CHECK(strcmp(order, "abcd") == 0);
}

static void counts(void *arg) {
    ++*(int *)arg;
}

static void check_their_arguments(void) {
    GIVES(nyario_after(-1, counts, &calls), -EINVAL);
    GIVES(nyario_after(0, NULL, NULL), -EINVAL);
    GIVES(nyario_every(-1, counts, &calls), -EINVAL);
    GIVES(nyario_every(0, counts, &calls), -EINVAL);
    GIVES(nyario_every(1, NULL, NULL), -EINVAL);
    GIVES(nyario_timer_cancel(0), -ESRCH);
    GIVES(nyario_timer_cancel(-1), -ESRCH);
    GIVES(nyario_timer_cancel(INT64_MAX), -ESRCH);
    GIVES(nyario_loop(), 0);
}

struct repeating {
    nyario_timer timer;
    int64_t start, interval;
    int calls;
};

static void repeats(void *arg) {
    struct repeating *repeating = arg;
    repeating->calls++;
    CHECK(nyario_now() >= repeating->start + repeating->calls * repeating->interval);
    if (repeating->calls == 5) {
        GIVES(nyario_timer_cancel(repeating->timer), 0);
        GIVES(nyario_timer_cancel(repeating->timer), -ESRCH);
        GIVES(nyario_sleep(MILLISECOND), 0);
        repeating->calls = 100;
    }
}

static void repeat_until_they_are_cancelled(void) {
    struct repeating repeating = {.interval = MILLISECOND / 2};
    repeating.start = nyario_now();
    repeating.timer = nyario_every(repeating.interval, repeats, &repeating);
    CHECK(repeating.timer > 0);
    GIVES(nyario_loop(), 0);
    CHECK(repeating.calls == 100);
}

static int inside;

static void is_slow(void *arg) {
    CHECK(inside == 0);
    inside = 1;
    GIVES(nyario_sleep(2 * MILLISECOND), 0);
    inside = 0;
    if (++calls == 3)
        GIVES(nyario_timer_cancel(*(nyario_timer *)arg), 0);
}

static void are_called_once_at_a_time(void) {
    nyario_timer timer;
    calls = 0;
    timer = nyario_every(MILLISECOND / 4, is_slow, &timer);
    GIVES(nyario_loop(), 0);
    CHECK(calls == 3);
}

static nyario_timer rivals[3];

static void cancels_its_rivals(void *arg) {
    (void)arg;
    calls++;
    for (int i = 0; i < 3; i++)
        nyario_timer_cancel(rivals[i]);
}

static void are_cancelled_even_when_due(void) {
    calls = 0;
    for (int i = 0; i < 3; i++)
        rivals[i] = nyario_after(i, cancels_its_rivals, NULL);
    usleep(1000);
    GIVES(nyario_loop(), 0);
    CHECK(calls == 1);
    nyario_timer far = nyario_after(INT64_MAX, counts, &calls);
    GIVES(nyario_timer_cancel(far), 0);
    GIVES(nyario_timer_cancel(far), -ESRCH);
    GIVES(nyario_loop(), 0);
    CHECK(calls == 1);
}

static void *stops(void *arg) {
    GIVES(nyario_stop(), 0);
    GIVES(nyario_yield(), 0);
    return arg;
}

static void *sets_one_too_late(void *arg) {
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ECANCELED);
    GIVES(nyario_after(0, counts, &calls), -ECANCELED);
    GIVES(nyario_every(1, counts, &calls), -ECANCELED);
    return arg;
}

static void end_with_the_loop(void) {
    calls = 0;
    nyario_timer far = nyario_after(3600 * 1000 * MILLISECOND, counts, &calls);
    nyario_timer again = nyario_every(3600 * 1000 * MILLISECOND, counts, &calls);
    GIVES(nyario_detach(nyario_spawn(sets_one_too_late, NULL)), 0);
    on_fiber(stops, NULL);
    GIVES(nyario_timer_cancel(far), -ESRCH);
    GIVES(nyario_timer_cancel(again), -ESRCH);
    GIVES(nyario_loop(), 0);
    CHECK(calls == 0);
}

enum { MANY = 200000 };

static void may_be_many(void) {
    static nyario_timer timers[MANY];
    calls = 0;
    for (int i = 0; i < MANY; i++)
        CHECK((timers[i] = nyario_after(i * 7919LL % MILLISECOND, counts, &calls)) > 0);
    for (int i = 0; i < MANY; i += 2)
        CHECK(nyario_timer_cancel(timers[i]) == 0);
    GIVES(nyario_loop(), 0);
    CHECK(calls == MANY / 2);
}

int main(void) {
    TEST(call_in_their_time);
    TEST(call_in_order);
    TEST(check_their_arguments);
    TEST(repeat_until_they_are_cancelled);
    TEST(are_called_once_at_a_time);
    TEST(are_cancelled_even_when_due);
    TEST(end_with_the_loop);
    TEST(may_be_many);
    return summary("timers");
}
