/* Deadlines as scopes: they nest, they narrow, and they are restored. */
#include "check.h"

static const int64_t MILLISECOND = 1000000, HOUR = 3600LL * 1000000000;

static void *narrows(void *arg) {
    int64_t begin = nyario_now();
    (void)arg;
    GIVES(nyario_within(HOUR), 0);
    int64_t hour = nyario_within(2 * HOUR);
    CHECK(hour >= begin + HOUR && hour <= nyario_now() + HOUR);
    /* A wider one within a narrower is as narrow. */
    GIVES(nyario_within(MILLISECOND), hour);
    GIVES(nyario_sleep(HOUR), -ETIMEDOUT);
    CHECK(nyario_now() >= begin + MILLISECOND);
    int64_t passed = nyario_deadline(hour);
    CHECK(passed > 0 && passed < hour);
    GIVES(nyario_sleep(MILLISECOND), 0);
    GIVES(nyario_deadline(0), hour);
    GIVES(nyario_deadline(0), 0);
    GIVES(nyario_within(INT64_MAX), 0);
    CHECK(nyario_deadline(0) == INT64_MAX);
    GIVES(nyario_within(-1), -EINVAL);
    GIVES(nyario_deadline(-1), -EINVAL);
    GIVES(nyario_deadline(0), 0);
    return NULL;
}

static void only_narrow(void) {
    on_fiber(narrows, NULL);
    GIVES(nyario_within(1), -EINVAL);
    GIVES(nyario_deadline(1), -EINVAL);
}

static int within_scopes(int depth) {
    char byte;
    int ends[2], met = 0;
    int64_t outer = nyario_within(depth * MILLISECOND);
    CHECK(outer >= 0);
    if (depth > 1)
        met = within_scopes(depth - 1);
    CHECK(pipe(ends) == 0);
    GIVES(nyario_read(ends[0], &byte, 1), -ETIMEDOUT);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
    CHECK(nyario_deadline(outer) > 0);
    return met + 1;
}

static void *nests(void *arg) {
    CHECK(within_scopes(5) == 5);
    GIVES(nyario_deadline(0), 0);
    return arg;
}

static void nest(void) {
    on_fiber(nests, NULL);
}

int main(void) {
    TEST(only_narrow);
    TEST(nest);
    return summary("deadline");
}
