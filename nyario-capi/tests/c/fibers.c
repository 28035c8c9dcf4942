/* Fibers: their lives, their order, their deadlines, and what cancels them. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

static void *gives_back(void *arg) {
    return arg;
}

static void *tells_its_name(void *arg) {
    (void)arg;
    return (void *)(intptr_t)nyario_self();
}

static void *joins_itself(void *arg) {
    GIVES(nyario_join(nyario_self(), NULL), -EDEADLK);
    return arg;
}

static void *joins(void *arg) {
    void *result = NULL;
    nyario_fiber first = nyario_spawn(gives_back, &result), second = nyario_spawn(tells_its_name, NULL);
    CHECK(first > 0 && second > 0 && first != second && nyario_self() > 0);
    GIVES(nyario_join(first, &result), 0);
    CHECK(result == &result);
    GIVES(nyario_join(second, &result), 0);
    CHECK((intptr_t)result == second);
    GIVES(nyario_join(second, &result), -ESRCH);

    nyario_fiber itself = nyario_spawn(joins_itself, NULL);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_join(itself, NULL), 0);

    nyario_fiber ended = nyario_spawn(gives_back, arg);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_cancel(ended), -ESRCH);
    GIVES(nyario_join(ended, NULL), 0);

    nyario_fiber detached = nyario_spawn(gives_back, arg);
    GIVES(nyario_detach(detached), 0);
    GIVES(nyario_detach(detached), -EINVAL);
    GIVES(nyario_join(detached, NULL), -EINVAL);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_join(detached, NULL), -ESRCH);
    return NULL;
}

static void are_joined_or_detached(void) {
    GIVES(nyario_self(), 0);
    on_fiber(joins, NULL);
}

static void *waits_for_another(void *arg) {
    return (void *)(intptr_t)nyario_join(*(nyario_fiber *)arg, NULL);
}

static void *sleeps_long(void *arg) {
    (void)arg;
    return (void *)(intptr_t)nyario_sleep(3600 * 1000 * MILLISECOND);
}

static void *cancels_a_joiner(void *arg) {
    void *result = NULL;
    nyario_fiber sleeping = nyario_spawn(sleeps_long, NULL), waiting = nyario_spawn(waits_for_another, &sleeping);
    (void)arg;
    GIVES(nyario_yield(), 0);
    GIVES(nyario_join(sleeping, NULL), -EINVAL);
    GIVES(nyario_detach(sleeping), -EINVAL);
    GIVES(nyario_cancel(waiting), 0);
    GIVES(nyario_join(waiting, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
    /* The cancelled join has not used the name up. */
    GIVES(nyario_cancel(sleeping), 0);
    GIVES(nyario_join(sleeping, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
    return NULL;
}

static void have_one_joiner(void) {
    on_fiber(cancels_a_joiner, NULL);
}

static void *ten_times(void *arg) {
    return (char *)arg + 10;
}

static void are_joined_off_a_fiber_when_they_have_ended(void) {
    char place[11];
    void *result = NULL;
    nyario_fiber fiber = nyario_spawn(ten_times, place);
    GIVES(nyario_join(fiber, &result), -EDEADLK);
    GIVES(nyario_loop(), 0);
    GIVES(nyario_join(fiber, &result), 0);
    CHECK(result == place + 10);
}

static char trace[16];

static void *leaves_a_trace(void *arg) {
    for (int i = 0; i < 3; i++) {
        strncat(trace, arg, 1);
        GIVES(nyario_yield(), 0);
    }
    return NULL;
}

static void take_turns(void) {
    GIVES(nyario_detach(nyario_spawn(leaves_a_trace, "a")), 0);
    GIVES(nyario_detach(nyario_spawn(leaves_a_trace, "b")), 0);
    GIVES(nyario_detach(nyario_spawn(leaves_a_trace, "c")), 0);
    CHECK(trace[0] == '\0');
    GIVES(nyario_loop(), 0);
    CHECK(strcmp(trace, "abcabcabc") == 0);
}

enum { MANY = 10000 };

static void *adds_its_number(void *arg) {
    volatile char stack[2000];
    stack[0] = stack[sizeof stack - 1] = 1;
    GIVES(nyario_yield(), 0);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    return (char *)arg + stack[0];
}

static void *spawns_many(void *arg) {
    static nyario_fiber fibers[MANY];
    long sum = 0;
    (void)arg;
    for (intptr_t i = 0; i < MANY; i++)
        CHECK((fibers[i] = nyario_spawn(adds_its_number, (void *)i)) > 0);
    for (int i = 0; i < MANY; i++) {
        void *result = NULL;
        CHECK(nyario_join(fibers[i], &result) == 0);
        sum += (intptr_t)result;
    }
    CHECK(sum == (long)MANY * (MANY - 1) / 2 + MANY);
    return NULL;
}

static void may_be_ten_thousand(void) {
    on_fiber(spawns_many, NULL);
}

static void *measures(void *arg) {
    (void)arg;
    for (int i = 0; i < 10; i++) {
        int64_t before = nyario_now();
        GIVES(nyario_sleep(3 * MILLISECOND), 0);
        CHECK(nyario_now() - before >= 3 * MILLISECOND);
    }
    GIVES(nyario_sleep(0), 0);
    return NULL;
}

static char order[8];
static int64_t first, between;

static void *sleeps_then_signs(void *arg) {
    const char *sign = arg;
    if (first == 0)
        first = nyario_now();
    GIVES(nyario_sleep((*sign - 'a') * 20 * MILLISECOND), 0);
    strncat(order, sign, 1);
    return NULL;
}

/* Spawned last, so it begins when the others sleep. */
static void *sees_them_asleep(void *arg) {
    between = nyario_now() - first;
    return arg;
}

static void sleep_no_less_than_they_ask(void) {
    on_fiber(measures, NULL);
    const char *signs[] = {"d", "b", "c", "a"};
    do {
        order[0] = 0;
        first = 0;
        for (int i = 0; i < 4; i++)
            GIVES(nyario_detach(nyario_spawn(sleeps_then_signs, (void *)signs[i])), 0);
        GIVES(nyario_detach(nyario_spawn(sees_them_asleep, NULL)), 0);
        GIVES(nyario_loop(), 0);
        /* Held up between the first and the last, they are to wake in another order. */
    } while (between >= 20 * MILLISECOND);
    CHECK(strcmp(order, "abcd") == 0);
}

static void *meets_deadlines(void *arg) {
    int ends[2];
    char byte;
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    int64_t soon = nyario_now() + 2 * MILLISECOND;
    GIVES(nyario_deadline(soon), 0);
    GIVES(nyario_read(ends[0], &byte, 1), -ETIMEDOUT);
    CHECK(nyario_now() >= soon);
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ETIMEDOUT);
    nyario_fiber sleeping = nyario_spawn(sleeps_long, NULL);
    GIVES(nyario_join(sleeping, NULL), -ETIMEDOUT);

    /* A call that need not wait asks for no deadline. */
    GIVES(nyario_write(ends[1], "1", 1), 1);

    GIVES(nyario_deadline(0), soon);
    GIVES(nyario_deadline(0), 0);
    GIVES(nyario_read(ends[0], &byte, 1), 1);
    GIVES(nyario_sleep(MILLISECOND), 0);
    GIVES(nyario_cancel(sleeping), 0);
    GIVES(nyario_join(sleeping, NULL), 0);

    /* A deadline that lies far ahead changes nothing. */
    GIVES(nyario_deadline(nyario_now() + 3600 * 1000 * MILLISECOND), 0);
    GIVES(nyario_sleep(MILLISECOND), 0);
    GIVES(nyario_write(ends[1], "2", 1), 1);
    GIVES(nyario_read(ends[0], &byte, 1), 1);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
    return NULL;
}

static void have_deadlines(void) {
    on_fiber(meets_deadlines, NULL);
}

struct call {
    int fd;
    ssize_t first, second;
};

static void *reads_twice(void *arg) {
    struct call *call = arg;
    char byte;
    call->first = nyario_read(call->fd, &byte, 1);
    call->second = nyario_read(call->fd, &byte, 1);
    return NULL;
}

/* Which of the two reads met the cancel and which the byte is a race in the kernel; that neither is lost is not. */
static int one_was_cancelled(const struct call *call) {
    return (call->first == -ECANCELED && call->second == 1) || (call->first == 1 && call->second == -ECANCELED);
}

static void *cancels_a_reader(void *arg) {
    int ends[2];
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct call call = {.fd = ends[0]};
    nyario_fiber reading = nyario_spawn(reads_twice, &call);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_cancel(reading), 0);
    GIVES(nyario_write(ends[1], "x", 1), 1);
    GIVES(nyario_join(reading, NULL), 0);
    CHECK(one_was_cancelled(&call));

    /* One that does not wait yet fails when it is about to. */
    reading = nyario_spawn(reads_twice, &call);
    GIVES(nyario_cancel(reading), 0);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_write(ends[1], "y", 1), 1);
    GIVES(nyario_join(reading, NULL), 0);
    CHECK(one_was_cancelled(&call));
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);

    GIVES(nyario_cancel(nyario_self()), 0);
    GIVES(nyario_yield(), -ECANCELED);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_cancel(nyario_self()), 0);
    GIVES(nyario_sleep(MILLISECOND), -ECANCELED);
    GIVES(nyario_sleep(MILLISECOND), 0);
    return NULL;
}

static void can_be_cancelled(void) {
    on_fiber(cancels_a_reader, NULL);
}

static char heap[16 << 20];

static void *writes_twice(void *arg) {
    struct call *call = arg;
    call->first = nyario_write(call->fd, heap, sizeof heap);
    call->second = nyario_write(call->fd, heap, sizeof heap);
    return NULL;
}

static void *writes_till_the_deadline(void *arg) {
    nyario_deadline(nyario_now() + 2 * MILLISECOND);
    return writes_twice(arg);
}

static void *interrupts_writers(void *arg) {
    int ends[2];
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct call call = {.fd = ends[0]};
    nyario_fiber writing = nyario_spawn(writes_till_the_deadline, &call);
    GIVES(nyario_join(writing, NULL), 0);
    CHECK(call.first > 0 && call.first < (ssize_t)sizeof heap);
    CHECK(call.second == -ETIMEDOUT);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    call.fd = ends[0];
    writing = nyario_spawn(writes_twice, &call);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_close(ends[1]), 0);
    GIVES(nyario_join(writing, NULL), 0);
    CHECK(call.first > 0 && call.first < (ssize_t)sizeof heap);
    CHECK(call.second == -EPIPE);
    GIVES(nyario_close(ends[0]), 0);
    return NULL;
}

static void tell_how_much_was_written(void) {
    on_fiber(interrupts_writers, NULL);
}

static void *cancels_a_writer(void *arg) {
    int ends[2];
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct call call = {.fd = ends[0]};
    nyario_fiber writing = nyario_spawn(writes_twice, &call);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_cancel(writing), 0);
    GIVES(nyario_join(writing, NULL), 0);
    CHECK(call.first > 0 && call.first < (ssize_t)sizeof heap);
    CHECK(call.second == -ECANCELED);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
    return NULL;
}

static void learn_of_a_cancel_after_a_short_write(void) {
    on_fiber(cancels_a_writer, NULL);
}

static void *reads_once(void *arg) {
    struct call *call = arg;
    char byte;
    call->first = nyario_read(call->fd, &byte, 1);
    return NULL;
}

static void *closes_under_a_reader(void *arg) {
    int ends[2];
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct call calls[3];
    nyario_fiber fibers[3];
    for (int i = 0; i < 3; i++) {
        calls[i].fd = ends[0];
        fibers[i] = nyario_spawn(reads_once, &calls[i]);
    }
    GIVES(nyario_yield(), 0);
    GIVES(nyario_close(ends[0]), 0);
    CHECK(fcntl(ends[0], F_GETFD) < 0);
    for (int i = 0; i < 3; i++) {
        GIVES(nyario_join(fibers[i], NULL), 0);
        CHECK(calls[i].first == -EBADF);
    }
    GIVES(nyario_close(ends[1]), 0);
    return NULL;
}

static void wake_when_their_descriptor_is_closed(void) {
    on_fiber(closes_under_a_reader, NULL);
}

static void *talks_through_a_pipe(void *arg) {
    struct call call;
    int ends[2];
    (void)arg;
    CHECK(pipe(ends) == 0);
    call.fd = ends[0];
    nyario_fiber reading = nyario_spawn(reads_twice, &call);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_write(ends[1], "p", 1), 1);
    GIVES(nyario_close(ends[1]), 0);
    GIVES(nyario_join(reading, NULL), 0);
    CHECK(call.first == 1 && call.second == 0);
    /* The pipe may be shared with a process that expects it to block. */
    CHECK((fcntl(ends[0], F_GETFL) & O_NONBLOCK) == 0);
    GIVES(nyario_close(ends[0]), 0);
    return NULL;
}

static void read_pipes(void) {
    on_fiber(talks_through_a_pipe, NULL);
}

static void *stops_the_loop(void *arg) {
    (void)arg;
    GIVES(nyario_yield(), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void are_cancelled_when_the_loop_ends(void) {
    void *result = NULL;
    nyario_fiber sleeping = nyario_spawn(sleeps_long, NULL);
    on_fiber(stops_the_loop, NULL);
    GIVES(nyario_join(sleeping, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
}

int main(void) {
    TEST(are_joined_or_detached);
    TEST(have_one_joiner);
    TEST(are_joined_off_a_fiber_when_they_have_ended);
    TEST(take_turns);
    TEST(may_be_ten_thousand);
    TEST(sleep_no_less_than_they_ask);
    TEST(have_deadlines);
    TEST(can_be_cancelled);
    TEST(tell_how_much_was_written);
    TEST(learn_of_a_cancel_after_a_short_write);
    TEST(wake_when_their_descriptor_is_closed);
    TEST(read_pipes);
    TEST(are_cancelled_when_the_loop_ends);
    return summary("fibers");
}
