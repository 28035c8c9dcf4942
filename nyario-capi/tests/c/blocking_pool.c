/* Functions that block, on the threads of the pool. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

enum { THREADS = 64, MANY = 200 };

static atomic_int begun, ended, gate;

static void *blocks_until_the_gate_opens(void *arg) {
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&gate))
        usleep(100);
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void *tells_its_thread(void *arg) {
    *(pthread_t *)arg = pthread_self();
    errno = EDOM;
    return arg;
}

static void *never_runs(void *arg) {
    CHECK(!"a call that was taken back runs");
    return arg;
}

static int own_threads(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[128];
    int threads = 0;
    while (fgets(line, sizeof line, status))
        sscanf(line, "Threads: %d", &threads);
    fclose(status);
    return threads;
}

static void *asks(void *arg) {
    pthread_t there, again;
    void *result = NULL;
    GIVES(nyario_blocking(NULL, NULL, NULL), -EINVAL);
    CHECK(own_threads() == 1);
    GIVES(nyario_blocking(tells_its_thread, &there, &result), 0);
    CHECK(result == &there && !pthread_equal(there, pthread_self()));
    GIVES(nyario_blocking(tells_its_thread, &again, NULL), 0);
    CHECK(own_threads() == 2);
    return arg;
}

/* The first of these tests: until then there is no thread. */
static void run_beside_the_loop(void) {
    on_fiber(asks, NULL);
}

static void run_right_here_off_a_fiber(void) {
    pthread_t where;
    GIVES(nyario_blocking(tells_its_thread, &where, NULL), 0);
    CHECK(pthread_equal(where, pthread_self()));
    GIVES(nyario_blocking(NULL, NULL, NULL), -EINVAL);
}

static void *blocks(void *arg) {
    void *result = NULL;
    GIVES(nyario_blocking(blocks_until_the_gate_opens, arg, &result), 0);
    CHECK(result == arg);
    return arg;
}

static void reset(void) {
    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    atomic_store(&gate, 0);
}

static void *opens_when_all_are_busy(void *arg) {
    while (atomic_load(&begun) < THREADS)
        nyario_sleep(MILLISECOND);
    nyario_sleep(5 * MILLISECOND);
    CHECK(atomic_load(&begun) == THREADS && atomic_load(&ended) == 0);
    atomic_store(&gate, 1);
    return arg;
}

static void have_a_bound(void) {
    reset();
    for (int i = 0; i < MANY; i++)
        GIVES(nyario_detach(nyario_spawn(blocks, &begun + i % 2)), 0);
    on_fiber(opens_when_all_are_busy, NULL);
    CHECK(atomic_load(&ended) == MANY);
    CHECK(own_threads() <= 1 + THREADS);
}

static void *is_taken_back(void *arg) {
    GIVES(nyario_blocking(never_runs, NULL, NULL), -ECANCELED);
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    GIVES(nyario_blocking(never_runs, NULL, NULL), -ETIMEDOUT);
    GIVES(nyario_blocking(never_runs, NULL, NULL), -ETIMEDOUT);
    return arg;
}

static void *takes_back(void *arg) {
    while (atomic_load(&begun) < THREADS)
        nyario_sleep(MILLISECOND);
    nyario_fiber fiber = nyario_spawn(is_taken_back, NULL);
    nyario_sleep(2 * MILLISECOND);
    GIVES(nyario_cancel(fiber), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    atomic_store(&gate, 1);
    return arg;
}

static void are_taken_back_before_they_begin(void) {
    reset();
    for (int i = 0; i < THREADS; i++)
        GIVES(nyario_detach(nyario_spawn(blocks, &begun)), 0);
    on_fiber(takes_back, NULL);
}

static atomic_int returned;

static void *is_cancelled(void *arg) {
    void *result = NULL;
    GIVES(nyario_blocking(blocks_until_the_gate_opens, arg, &result), 0);
    CHECK(result == arg && atomic_load(&ended) == 1);
    atomic_store(&returned, 1);
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ECANCELED);
    return arg;
}

static void *cancels(void *arg) {
    nyario_fiber fiber = nyario_spawn(is_cancelled, arg);
    while (atomic_load(&begun) < 1)
        nyario_sleep(MILLISECOND);
    GIVES(nyario_cancel(fiber), 0);
    nyario_sleep(2 * MILLISECOND);
    CHECK(!atomic_load(&returned));
    atomic_store(&gate, 1);
    GIVES(nyario_join(fiber, NULL), 0);
    return arg;
}

static void are_waited_for_once_they_have_begun(void) {
    reset();
    on_fiber(cancels, &gate);
}

static void *stops(void *arg) {
    while (atomic_load(&begun) < 1)
        nyario_sleep(MILLISECOND);
    GIVES(nyario_stop(), 0);
    return arg;
}

static void *opens_later(void *arg) {
    while (atomic_load(&begun) < 1)
        usleep(100);
    usleep(20000);
    atomic_store(&gate, 1);
    return arg;
}

static void are_waited_for_at_the_end(void) {
    pthread_t opener;
    reset();
    GIVES(nyario_detach(nyario_spawn(blocks, &gate)), 0);
    CHECK(pthread_create(&opener, NULL, opens_later, NULL) == 0);
    on_fiber(stops, NULL);
    CHECK(atomic_load(&ended) == 1);
    CHECK(pthread_join(opener, NULL) == 0);
}

static void *in_a_child(void *arg) {
    pthread_t there;
    GIVES(nyario_blocking(tells_its_thread, &there, NULL), 0);
    CHECK(!pthread_equal(there, pthread_self()));
    CHECK(own_threads() == 2);
    return arg;
}

static void *forks(void *arg) {
    while (atomic_load(&begun) < 2)
        nyario_sleep(MILLISECOND);
    pid_t child = fork();
    if (child == 0) {
        /* Neither the threads nor what waits for them is here. */
        CHECK(own_threads() == 1);
        on_fiber(in_a_child, NULL);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            on_fiber(in_a_child, NULL);
            _exit(atomic_load(&failures));
        }
        int status = -1;
        CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        _exit(atomic_load(&failures));
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    atomic_store(&gate, 1);
    return arg;
}

static void are_not_inherited(void) {
    reset();
    for (int i = 0; i < 2; i++)
        GIVES(nyario_detach(nyario_spawn(blocks, &begun)), 0);
    on_fiber(forks, NULL);
    CHECK(atomic_load(&ended) == 2);
}

static void *forks_there(void *arg) {
    *(pid_t *)arg = fork();
    return arg;
}

static void *asks_for_a_fork(void *arg) {
    pid_t child = -1;
    GIVES(nyario_blocking(forks_there, &child, NULL), 0);
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    GIVES(nyario_blocking(forks_there, &child, NULL), 0);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    return arg;
}

/* The child is that one thread, which has nothing to do there and ends. */
static void may_fork_themselves(void) {
    on_fiber(asks_for_a_fork, NULL);
}

int main(void) {
    TEST(run_beside_the_loop);
    TEST(run_right_here_off_a_fiber);
    TEST(have_a_bound);
    TEST(are_taken_back_before_they_begin);
    TEST(are_waited_for_once_they_have_begun);
    TEST(are_waited_for_at_the_end);
    TEST(are_not_inherited);
    TEST(may_fork_themselves);
    return summary("blocking_pool");
}
