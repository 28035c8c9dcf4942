/* How a thread's loop is made. */
#include "check.h"
#include <pthread.h>

static void *runs(void *arg) {
    ((void (*)(void))arg)();
    return NULL;
}

/* Each on a thread of its own, as a loop is made once. */
static void alone(void (*test)(void)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, runs, test) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *nothing(void *arg) {
    return arg;
}

static void limit_fibers_now(void) {
    nyario_options options = {.size = sizeof options, .fibers = 2};
    nyario_statistics statistics = {.size = sizeof statistics};
    nyario_fiber fibers[2];
    void *result;
    GIVES(nyario_stats(&statistics), -ESRCH);
    GIVES(nyario_configure(&options), 0);
    GIVES(nyario_configure(&options), -EBUSY);
    GIVES(nyario_configure(NULL), -EBUSY);
    GIVES(nyario_stats(&statistics), 0);
    for (int i = 0; i < 2; i++)
        CHECK((fibers[i] = nyario_spawn(nothing, &fibers[i])) > 0);
    GIVES(nyario_spawn(nothing, NULL), -EAGAIN);
    GIVES(nyario_loop(), 0);
    for (int i = 0; i < 2; i++) {
        GIVES(nyario_join(fibers[i], &result), 0);
        CHECK(result == &fibers[i]);
    }
}

static void limits_fibers(void) {
    alone(limit_fibers_now);
}

static uint64_t accepted(void) {
    nyario_statistics statistics = {.size = sizeof statistics};
    GIVES(nyario_stats(&statistics), 0);
    return statistics.accepted;
}

static void *comes_twice(void *arg) {
    int first = nyario_dial(arg), second = nyario_dial(arg);
    CHECK(first >= 0 && second >= 0);
    for (int i = 0; i < 10; i++) {
        check_echo(first, "the only one");
        CHECK(accepted() == 1);
    }
    GIVES(nyario_close(first), 0);
    check_echo(second, "the next");
    CHECK(accepted() == 1);
    GIVES(nyario_close(second), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void limit_connections_now(void) {
    nyario_options options = {.size = sizeof options, .connections = 1};
    char address[128];
    GIVES(nyario_configure(&options), 0);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(comes_twice, address);
}

static void limits_connections(void) {
    alone(limit_connections_now);
}

/* What is behind the pointer is touched from its last byte to its first. */
static void *goes_deep(void *arg) {
    volatile char room[600 * 1024];
    (void)arg;
    for (size_t i = sizeof room; i > 0; i -= 1024)
        room[i - 1] = 1;
    return NULL;
}

static void give_room_now(void) {
    nyario_options options = {.size = sizeof options, .stack_size = 1024 * 1024};
    GIVES(nyario_configure(&options), 0);
    on_fiber(goes_deep, NULL);
}

static void sizes_stacks(void) {
    alone(give_room_now);
}

static void choose_now(void) {
    const char *asked = getenv("NYARIO_BACKEND");
    nyario_options options = {.size = sizeof options, .backend = "epoll"};
    nyario_statistics statistics = {.size = sizeof statistics};
    GIVES(nyario_configure(&options), 0);
    GIVES(nyario_stats(&statistics), 0);
    CHECK(strcmp(statistics.backend, asked && *asked ? asked : "epoll") == 0);
}

static void chooses_a_backend_unless_the_environment_does(void) {
    const char *asked = getenv("NYARIO_BACKEND");
    char kept[16] = "";
    alone(choose_now);
    if (asked)
        strncpy(kept, asked, sizeof kept - 1);
    unsetenv("NYARIO_BACKEND");
    alone(choose_now);
    if (asked)
        setenv("NYARIO_BACKEND", kept, 1);
}

static void refuse_now(void) {
    struct {
        nyario_options known;
        char later[8];
    } later = {.known = {.size = sizeof later}};
    nyario_options options = {.size = sizeof options, .backend = "select"};
    nyario_statistics statistics = {.size = sizeof statistics};
    GIVES(nyario_configure(&options), -EINVAL);
    options.backend = NULL;
    options.stack_size = 1;
    GIVES(nyario_configure(&options), -EINVAL);
    options.size = 0;
    GIVES(nyario_configure(&options), -EINVAL);
    later.later[3] = 1;
    GIVES(nyario_configure(&later.known), -EINVAL);
    /* Nothing has been made so far. */
    GIVES(nyario_stats(&statistics), -ESRCH);
    later.later[3] = 0;
    GIVES(nyario_configure(&later.known), 0);
}

static void refuses_what_it_does_not_know(void) {
    alone(refuse_now);
}

int main(void) {
    TEST(limits_fibers);
    TEST(limits_connections);
    TEST(sizes_stacks);
    TEST(chooses_a_backend_unless_the_environment_does);
    TEST(refuses_what_it_does_not_know);
    return summary("configure");
}
