/* A loop for each hardware thread. */
#include "check.h"
#include <pthread.h>
#include <sched.h>

static const int64_t MILLISECOND = 1000000;

enum { LOOPS = 4 };

static atomic_int begun, served[LOOPS], pinned;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
static char address[128];
static pthread_t caller;

static void tells_who(int fd, void *arg) {
    char byte;
    while (nyario_read(fd, &byte, 1) == 1) {
        atomic_fetch_add((atomic_int *)arg, 1);
        byte = (char)((atomic_int *)arg - served);
        if (nyario_write(fd, &byte, 1) != 1)
            return;
    }
}

static int serves(unsigned index, void *arg) {
    int error = 0;
    CHECK(arg == &begun && index < LOOPS && nyario_self() == 0 && !pthread_equal(pthread_self(), caller));
    pthread_mutex_lock(&first);
    int server = nyario_listen_shared(*address ? address : "127.0.0.1:0");
    CHECK(server >= 0);
    CHECK(nyario_address(server, address, sizeof address) > 0);
    pthread_mutex_unlock(&first);
    GIVES(error = nyario_register(server, tells_who, &served[index], 0), 0);
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    if (CPU_COUNT(&set) == 1)
        atomic_fetch_add(&pinned, 1);
    atomic_fetch_add(&begun, 1);
    return error;
}

static void reset(void) {
    atomic_store(&begun, 0);
    atomic_store(&pinned, 0);
    for (int i = 0; i < LOOPS; i++)
        atomic_store(&served[i], 0);
    *address = '\0';
    caller = pthread_self();
}

static int all_served(void) {
    for (int i = 0; i < LOOPS; i++)
        if (atomic_load(&served[i]) == 0)
            return 0;
    return 1;
}

/* A thread of nobody's, which asks until every loop has answered, and ends them. */
static void *asks(void *arg) {
    while (atomic_load(&begun) < LOOPS)
        usleep(100);
    GIVES(nyario_threads(1, 0, serves, NULL), -EBUSY);
    while (!all_served()) {
        char byte = 'x';
        int fd = nyario_dial(address);
        CHECK(fd >= 0);
        if (fd < 0)
            break;
        GIVES(nyario_write(fd, &byte, 1), 1);
        GIVES(nyario_read(fd, &byte, 1), 1);
        CHECK(byte >= 0 && byte < LOOPS);
        GIVES(nyario_close(fd), 0);
    }
    GIVES(((int (*)(void))arg)(), 0);
    return NULL;
}

static void run_until(int (*end)(void), int pin) {
    pthread_t thread;
    reset();
    GIVES(nyario_stop_threads(), -ESRCH);
    GIVES(nyario_drain_threads(MILLISECOND), -ESRCH);
    CHECK(pthread_create(&thread, NULL, asks, (void *)end) == 0);
    GIVES(nyario_threads(LOOPS, pin, serves, &begun), 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(atomic_load(&begun) == LOOPS);
    GIVES(nyario_dial(address), -ECONNREFUSED);
    GIVES(nyario_stop_threads(), -ESRCH);
}

static void share_an_address(void) {
    run_until(nyario_stop_threads, 0);
}

static int drain(void) {
    GIVES(nyario_drain_threads(-1), -EINVAL);
    return nyario_drain_threads(3600 * 1000 * MILLISECOND);
}

static void are_pinned_and_drained(void) {
    run_until(drain, 1);
    CHECK(atomic_load(&pinned) == LOOPS);
}

static int notes(unsigned index, void *arg) {
    atomic_fetch_or((atomic_uint *)arg, 1u << index);
    return 0;
}

/* With nothing to do, they end at once. */
static void are_as_many_as_the_process_may_use(void) {
    cpu_set_t set;
    atomic_uint seen = 0;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    GIVES(nyario_threads(0, 0, notes, &seen), 0);
    unsigned count = (unsigned)CPU_COUNT(&set);
    CHECK(atomic_load(&seen) == (count < 32 ? (1u << count) - 1 : ~0u));
    GIVES(nyario_threads(3, 1, notes, &seen), 0);
    GIVES(nyario_threads(1, 0, NULL, NULL), -EINVAL);
}

static void *stays(void *arg) {
    GIVES(nyario_sleep(INT64_MAX), -ECANCELED);
    return arg;
}

static int fails_on_one(unsigned index, void *arg) {
    GIVES(nyario_detach(nyario_spawn(stays, arg)), 0);
    return index == 2 ? *(int *)arg : 0;
}

static void fail_together(void) {
    int error = -ENODEV;
    GIVES(nyario_threads(LOOPS, 0, fails_on_one, &error), -ENODEV);
    error = NYARIO_EAI_NONAME;
    GIVES(nyario_threads(LOOPS, 0, fails_on_one, &error), NYARIO_EAI_NONAME);
    error = INT32_MIN;
    GIVES(nyario_threads(LOOPS, 0, fails_on_one, &error), -EINVAL);
}

static void on_signal(int signal) {
    (void)signal;
    nyario_stop_threads();
}

static int raises(unsigned index, void *arg) {
    GIVES(nyario_detach(nyario_spawn(stays, arg)), 0);
    if (index == LOOPS - 1)
        CHECK(kill(getpid(), SIGUSR1) == 0);
    return 0;
}

/* A signal finds them, whichever of them have begun. */
static void are_stopped_by_signals(void) {
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 50; i++)
        GIVES(nyario_threads(LOOPS, 0, raises, NULL), 0);
    signal(SIGUSR1, SIG_DFL);
}

static void *nests(void *arg) {
    GIVES(nyario_threads(1, 0, notes, NULL), -EDEADLK);
    return arg;
}

static void are_refused_on_a_fiber(void) {
    on_fiber(nests, NULL);
}

static int forks(unsigned index, void *arg) {
    if (index == 0) {
        pid_t child = fork();
        if (child == 0) {
            atomic_uint seen = 0;
            GIVES(nyario_stop_threads(), -ESRCH);
            GIVES(nyario_threads(2, 0, notes, &seen), 0);
            CHECK(atomic_load(&seen) == 3);
            _exit(atomic_load(&failures));
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        GIVES(nyario_stop_threads(), 0);
    }
    GIVES(nyario_detach(nyario_spawn(stays, arg)), 0);
    return 0;
}

static void are_not_inherited(void) {
    GIVES(nyario_threads(2, 0, forks, NULL), 0);
}

static void listen_where_nobody_else_does(void) {
    char bound[128], path[108];
    int alone = nyario_listen("127.0.0.1:0");
    CHECK(nyario_address(alone, bound, sizeof bound) > 0);
    GIVES(nyario_listen_shared(bound), -EADDRINUSE);
    GIVES(nyario_close(alone), 0);
    int one = nyario_listen_shared(bound), other = nyario_listen_shared(bound);
    CHECK(one >= 0 && other >= 0 && one != other);
    GIVES(nyario_listen(bound), -EADDRINUSE);
    GIVES(nyario_close(one), 0);
    GIVES(nyario_close(other), 0);
    fresh_path(path, "shared");
    GIVES(nyario_listen_shared(path), -EOPNOTSUPP);
    GIVES(nyario_listen_shared(NULL), -EINVAL);
}

int main(void) {
    TEST(share_an_address);
    TEST(are_pinned_and_drained);
    TEST(are_as_many_as_the_process_may_use);
    TEST(fail_together);
    TEST(are_stopped_by_signals);
    TEST(are_refused_on_a_fiber);
    TEST(are_not_inherited);
    TEST(listen_where_nobody_else_does);
    return summary("loops");
}
