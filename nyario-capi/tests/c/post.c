/* What other threads have a loop run. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

enum { THREADS = 4, EACH = 1000 };

static nyario_loop_id home;
static pthread_t home_thread;
static int next[THREADS];
static atomic_int posted;

/* Runs on the loop that was posted to: whose number this is, and in order. */
static void *counts(void *arg) {
    long word = (long)arg;
    CHECK(pthread_equal(pthread_self(), home_thread) && nyario_self() > 0);
    CHECK(next[word / EACH] == word % EACH);
    next[word / EACH]++;
    if (word % 10 == 0)
        GIVES(nyario_yield(), 0);
    if (atomic_fetch_add(&posted, 1) + 1 == THREADS * EACH)
        GIVES(nyario_stop(), 0);
    return arg;
}

static void *posts(void *arg) {
    for (long i = 0; i < EACH; i++)
        GIVES(nyario_post(home, counts, (void *)((long)arg * EACH + i)), 0);
    return NULL;
}

static void *stays(void *arg) {
    int64_t forever = INT64_MAX;
    GIVES(nyario_sleep(forever), -ECANCELED);
    return arg;
}

static void find_home(void) {
    home = nyario_loop_self();
    home_thread = pthread_self();
    CHECK(home > 0);
    GIVES(nyario_loop_self(), home);
}

static void come_in_order(void) {
    pthread_t threads[THREADS];
    find_home();
    atomic_store(&posted, 0);
    memset(next, 0, sizeof next);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, posts, (void *)i) == 0);
    on_fiber(stays, NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(next[i] == EACH);
    }
}

static void *runs_once(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
    return arg;
}

static void wait_for_the_loop(void) {
    atomic_int ran = 0;
    find_home();
    GIVES(nyario_post(home, NULL, NULL), -EINVAL);
    GIVES(nyario_post(home, runs_once, &ran), 0);
    CHECK(atomic_load(&ran) == 0);
    GIVES(nyario_loop(), 0);
    CHECK(atomic_load(&ran) == 1);
}

static void *runs_and_exits(void *arg) {
    runs_once(arg);
    GIVES(nyario_exit(NULL), 0);
    return NULL;
}

static void may_exit(void) {
    atomic_int ran = 0;
    find_home();
    for (int i = 0; i < 3; i++)
        GIVES(nyario_post(home, runs_and_exits, &ran), 0);
    GIVES(nyario_loop(), 0);
    CHECK(atomic_load(&ran) == 3);
}

static void *tells_its_name(void *arg) {
    *(nyario_loop_id *)arg = nyario_loop_self();
    GIVES(nyario_post(*(nyario_loop_id *)arg, runs_once, NULL), 0);
    return NULL;
}

/* What the thread has not run goes with it, and its name with what that held. */
static void meet_nobody(void) {
    nyario_loop_id gone = 0;
    pthread_t thread;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    CHECK(pthread_create(&thread, NULL, tells_its_name, &gone) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(gone > 0 && gone != nyario_loop_self());
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(after == before);
    close(after);
    GIVES(nyario_post(gone, runs_once, NULL), -ESRCH);
    GIVES(nyario_post(0, runs_once, NULL), -ESRCH);
    GIVES(nyario_post(-1, runs_once, NULL), -ESRCH);
    GIVES(nyario_post(INT64_MAX, runs_once, NULL), -ESRCH);
}

/* Two loops that pass a ball. */
struct player {
    nyario_loop_id self;
    struct player *other;
    int catches;
};

enum { CATCHES = 2000 };

static void *catches(void *arg) {
    struct player *player = arg;
    player->catches++;
    if (player->catches < CATCHES || player->other->catches < CATCHES)
        GIVES(nyario_post(player->other->self, catches, player->other), 0);
    if (player->catches == CATCHES)
        GIVES(nyario_stop(), 0);
    return NULL;
}

static pthread_barrier_t ready;

static void *plays(void *arg) {
    struct player *player = arg;
    player->self = nyario_loop_self();
    pthread_barrier_wait(&ready);
    on_fiber(stays, NULL);
    /* The other may still throw. */
    pthread_barrier_wait(&ready);
    return NULL;
}

static void pass_between_loops(void) {
    struct player players[2] = {{0, &players[1], 0}, {0, &players[0], 0}};
    pthread_t threads[2];
    pthread_barrier_init(&ready, NULL, 3);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, plays, &players[i]) == 0);
    pthread_barrier_wait(&ready);
    GIVES(nyario_post(players[0].self, catches, &players[0]), 0);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(players[i].catches == CATCHES);
    }
    pthread_barrier_destroy(&ready);
}

/* A connection that another loop serves. */
static void *serves(void *arg) {
    int fd = (int)(long)arg;
    sends_back(fd, NULL);
    GIVES(nyario_close(fd), 0);
    return NULL;
}

static nyario_loop_id worker;

static void hands_over(int fd, void *arg) {
    (void)arg;
    GIVES(nyario_post(worker, serves, (void *)(long)dup(fd)), 0);
}

static void *asks(void *arg) {
    for (int i = 0; i < 20; i++) {
        int fd = nyario_dial(arg);
        CHECK(fd >= 0);
        check_echo(fd, "from the other loop");
        check_echo(fd, "and again");
        GIVES(nyario_close(fd), 0);
    }
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void *stops_here(void *arg) {
    GIVES(nyario_stop(), 0);
    return arg;
}

static void *works(void *arg) {
    worker = nyario_loop_self();
    pthread_barrier_wait(&ready);
    on_fiber(stays, NULL);
    return arg;
}

static void hand_over_connections(void) {
    char address[128];
    pthread_t thread;
    pthread_barrier_init(&ready, NULL, 2);
    CHECK(pthread_create(&thread, NULL, works, NULL) == 0);
    pthread_barrier_wait(&ready);
    open_server("127.0.0.1:0", hands_over, NULL, 0, address);
    on_fiber(asks, address);
    GIVES(nyario_post(worker, stops_here, NULL), 0);
    CHECK(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&ready);
}

static void do_not_reach_the_parent(void) {
    atomic_int ran = 0;
    find_home();
    GIVES(nyario_post(home, runs_once, &ran), 0);
    pid_t child = fork();
    if (child == 0) {
        GIVES(nyario_post(home, runs_once, &ran), -ESRCH);
        nyario_loop_id own = nyario_loop_self();
        CHECK(own > 0);
        GIVES(nyario_loop(), 0);
        CHECK(atomic_load(&ran) == 0);
        GIVES(nyario_post(own, runs_once, &ran), 0);
        GIVES(nyario_loop(), 0);
        CHECK(atomic_load(&ran) == 1);
        exit(atomic_load(&failures));
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    GIVES(nyario_loop(), 0);
    CHECK(atomic_load(&ran) == 1);
    GIVES(nyario_sleep(MILLISECOND), 0);
}

int main(void) {
    TEST(come_in_order);
    TEST(wait_for_the_loop);
    TEST(may_exit);
    TEST(meet_nobody);
    TEST(pass_between_loops);
    TEST(hand_over_connections);
    TEST(do_not_reach_the_parent);
    return summary("post");
}
