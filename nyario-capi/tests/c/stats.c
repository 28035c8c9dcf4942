/* What a loop tells of itself. */
#include "check.h"
#include <pthread.h>

static nyario_statistics now(void) {
    nyario_statistics statistics = {.size = sizeof statistics};
    GIVES(nyario_stats(&statistics), 0);
    CHECK(statistics.size == sizeof statistics);
    return statistics;
}

static void know_no_loop_that_is_not_there(void) {
    nyario_statistics statistics = {.size = sizeof statistics};
    GIVES(nyario_stats(&statistics), -ESRCH);
    GIVES(nyario_turn(0), 0);
    GIVES(nyario_stats(NULL), -EINVAL);
    statistics.size = 7;
    GIVES(nyario_stats(&statistics), -EINVAL);
}

/* Whoever was compiled against another version gets what both know, and no byte more. */
static void fit_into_any_struct(void) {
    struct {
        nyario_statistics known;
        unsigned char later[16];
        unsigned char guard[8];
    } longer;
    memset(&longer, 0xa5, sizeof longer);
    longer.known.size = sizeof longer.known + sizeof longer.later;
    GIVES(nyario_stats(&longer.known), 0);
    CHECK(strcmp(longer.known.backend, now().backend) == 0);
    for (size_t i = 0; i < sizeof longer.later; i++)
        CHECK(longer.later[i] == 0);
    CHECK(longer.guard[0] == 0xa5);
    memset(&longer, 0xa5, sizeof longer);
    longer.known.size = offsetof(nyario_statistics, turns);
    GIVES(nyario_stats(&longer.known), 0);
    CHECK(strcmp(longer.known.backend, now().backend) == 0);
    CHECK(longer.known.turns == 0xa5a5a5a5a5a5a5a5);
}

static void *yields_twice(void *arg) {
    GIVES(nyario_yield(), 0);
    GIVES(nyario_yield(), 0);
    return arg;
}

static void count_switches(void) {
    nyario_statistics before = now();
    nyario_fiber fibers[2] = {nyario_spawn(yields_twice, NULL), nyario_spawn(yields_twice, NULL)};
    CHECK(now().fibers == 2 && now().spawned == before.spawned + 2);
    CHECK(now().stacks - now().stacks_free == 2);
    GIVES(nyario_loop(), 0);
    nyario_statistics after = now();
    CHECK(after.switches - before.switches == 6);
    CHECK(after.turns > before.turns);
    CHECK(after.fibers == 0 && after.stacks == after.stacks_free);
    for (int i = 0; i < 2; i++)
        GIVES(nyario_join(fibers[i], NULL), 0);
}

static void *sleeps(void *arg) {
    GIVES(nyario_sleep(1000), 0);
    return arg;
}

static void count_waits(void) {
    nyario_statistics before = now();
    nyario_fiber fiber = nyario_spawn(sleeps, NULL);
    GIVES(nyario_loop(), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    nyario_statistics after = now();
    CHECK(after.waited - before.waited == 1 && after.waiting == 0 && after.timers == 0);
    CHECK(after.enters - before.enters <= after.turns - before.turns);
}

static void *sleeps_long(void *arg) {
    GIVES(nyario_sleep(3600 * (int64_t)1000000000), -ECANCELED);
    return arg;
}

static void count_what_waits(void) {
    nyario_fiber fibers[3];
    nyario_statistics before = now();
    for (int i = 0; i < 3; i++)
        fibers[i] = nyario_spawn(sleeps_long, NULL);
    GIVES(nyario_turn(0), 1);
    CHECK(now().waiting == before.waiting + 3 && now().timers == 3 && now().switches == before.switches + 3);
    for (int i = 0; i < 3; i++)
        GIVES(nyario_cancel(fibers[i]), 0);
    GIVES(nyario_turn(0), 0);
    for (int i = 0; i < 3; i++)
        GIVES(nyario_join(fibers[i], NULL), 0);
    CHECK(now().timers == 0 && now().waiting == before.waiting);
}

static void *closes(void *arg) {
    nyario_statistics before = now();
    GIVES(nyario_close(open("/dev/null", O_RDONLY)), 0);
    CHECK(now().at_once == before.at_once + 1 && now().waited == before.waited);
    return arg;
}

static void count_what_is_over_at_once(void) {
    on_fiber(closes, NULL);
}

static char address[128];

static void *talks(void *arg) {
    nyario_statistics before = now();
    int mute = nyario_dial(address);
    int fd = nyario_dial(address);
    CHECK(mute >= 0 && fd >= 0);
    check_echo(fd, "hello");
    CHECK(now().enters > before.enters && now().turns > before.turns);
    CHECK(now().clients == before.clients + 2 && now().accepted == 2 && now().idle == 1);
    CHECK(now().spawned == before.spawned + 1 && now().fibers == before.fibers + 1);
    /* What is sent and not read lies in a buffer, where there are buffers. */
    GIVES(nyario_write(fd, "again", 5), 5);
    while (now().buffers != 0 && now().buffers_used == 0)
        GIVES(nyario_yield(), 0);
    char back[8];
    CHECK(read_all(fd, back, 5));
    CHECK(now().buffers_used == 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_close(mute), 0);
    CHECK(now().clients == before.clients);
    GIVES(nyario_stop(), 0);
    return arg;
}

static void count_connections(void) {
    CHECK(now().servers == 0);
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    CHECK(now().servers == 1 && now().adopted == 1);
    on_fiber(talks, NULL);
    nyario_statistics after = now();
    CHECK(after.servers == 0 && after.accepted == 0 && after.idle == 0 && after.adopted == 0);
}

static void *works(void *arg) {
    return arg;
}

static void *asks_the_pool(void *arg) {
    nyario_statistics before = now();
    for (int i = 0; i < 5; i++)
        CHECK(nyario_blocking(works, arg, NULL) == 0);
    CHECK(now().posts - before.posts == 5);
    return arg;
}

static void count_what_other_threads_say(void) {
    on_fiber(asks_the_pool, NULL);
}

/* Stacks that were used are looked after until they have given their memory up. A turn that is held up may sweep twice, so
 * one that is not has to come. */
static void count_sweeps(void) {
    uint64_t before;
    do {
        on_fiber(works, NULL);
        before = now().sweeps;
        while (now().sweeps == before)
            nyario_turn(0);
    } while (now().sweeps != before + 1);
}

int main(void) {
    TEST(know_no_loop_that_is_not_there);
    TEST(fit_into_any_struct);
    TEST(count_switches);
    TEST(count_waits);
    TEST(count_what_waits);
    TEST(count_what_is_over_at_once);
    TEST(count_connections);
    TEST(count_what_other_threads_say);
    TEST(count_sweeps);
    return summary("stats");
}
