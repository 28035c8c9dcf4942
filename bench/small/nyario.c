/* nyario: timers, two fibers that pass a message to and fro, and a loop that another thread wakes. */
#include "measure.h"
#include <nyario.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(int64_t result) {
    if (result < 0) {
        fprintf(stderr, "%s\n", nyario_strerror((int)result));
        exit(1);
    }
}

static long expired;
static nyario_semaphore all_expired = NYARIO_SEMAPHORE_INIT;

static void expires(void *arg) {
    (void)arg;
    if (++expired == TIMERS)
        nyario_semaphore_post(&all_expired);
}

static void timers(void) {
    for (int round = 0; round < 2; round++) {
        /* The first round warms up. */
        expired = 0;
        double begun = processor_nanos();
        for (int64_t i = 0; i < TIMERS; i++)
            check(nyario_after(TIMER_FIRST + i * TIMER_STEP, expires, NULL));
        check(nyario_semaphore_wait(&all_expired));
        if (round == 1)
            tell("expire", begun, TIMERS);
    }
    for (int round = 0; round < 2; round++) {
        double begun = processor_nanos();
        for (int i = 0; i < TIMERS; i++) {
            nyario_timer timer = nyario_after(TIMER_FIRST, expires, NULL);
            check(timer);
            check(nyario_timer_cancel(timer));
        }
        if (round == 1)
            tell("cancel", begun, TIMERS);
    }
}

static nyario_channel there = NYARIO_CHANNEL_INIT(sizeof(long), 0), back = NYARIO_CHANNEL_INIT(sizeof(long), 0);

static void *answers(void *count) {
    for (long left = (long)count, number; left > 0; left--) {
        check(nyario_channel_receive(&there, &number));
        check(nyario_channel_send(&back, &number));
    }
    return NULL;
}

static void channels(void) {
    for (int round = 0; round < 2; round++) {
        double begun = processor_nanos();
        nyario_fiber other = nyario_spawn(answers, (void *)(MESSAGES / 2L));
        for (long i = 0, number; i < MESSAGES / 2; i++) {
            check(nyario_channel_send(&there, &i));
            check(nyario_channel_receive(&back, &number));
        }
        check(nyario_join(other, NULL));
        if (round == 1)
            tell("channel", begun, MESSAGES);
    }
}

/* Where a fiber reads, and where it writes. */
struct ends {
    int from, to;
};

static void *echoes(void *arg) {
    struct ends *ends = arg;
    char bytes[ROOM];
    for (int left = BYTES / 2; left > 0; left--) {
        check(nyario_read(ends->from, bytes, ROOM) - 1);
        check(nyario_write(ends->to, bytes, 1) - 1);
    }
    return NULL;
}

static void descriptors(const char *what, struct ends here, struct ends yonder) {
    for (int round = 0; round < 2; round++) {
        double begun = processor_nanos();
        nyario_fiber other = nyario_spawn(echoes, &yonder);
        char bytes[ROOM] = "x";
        for (int left = BYTES / 2; left > 0; left--) {
            check(nyario_write(here.to, bytes, 1) - 1);
            check(nyario_read(here.from, bytes, ROOM) - 1);
        }
        check(nyario_join(other, NULL));
        if (round == 1)
            tell(what, begun, BYTES);
    }
}

static nyario_loop_id loop;
static nyario_semaphore all_woken = NYARIO_SEMAPHORE_INIT;
static double posted, latencies[WAKES];
static int woken;

static void *wakes(void *arg) {
    latencies[woken++] = nanos(CLOCK_MONOTONIC) - posted;
    if (woken == WAKES)
        nyario_semaphore_post(&all_woken);
    return arg;
}

/* A nap is longer than a wake-up takes, so no two of them meet. */
static void *posts(void *arg) {
    for (int i = 0; i < WAKES; i++) {
        struct timespec nap = {0, NAP};
        nanosleep(&nap, NULL);
        posted = nanos(CLOCK_MONOTONIC);
        check(nyario_post(loop, wakes, NULL));
    }
    return arg;
}

static void wake_ups(void) {
    pthread_t thread;
    loop = nyario_loop_self();
    check(loop);
    double begun = processor_nanos();
    if (pthread_create(&thread, NULL, posts, NULL) != 0)
        exit(1);
    check(nyario_semaphore_wait(&all_woken));
    pthread_join(thread, NULL);
    tell("wake_cpu", begun, WAKES);
    printf("wake %.3f\n", median(latencies, WAKES));
}

static void *measures(void *arg) {
    int there[2], back[2];
    timers();
    channels();
    if (nyario_socketpair(AF_UNIX, SOCK_STREAM, 0, there) != 0)
        exit(1);
    descriptors("socketpair", (struct ends){there[0], there[0]}, (struct ends){there[1], there[1]});
    if (nyario_pipe(there) != 0 || nyario_pipe(back) != 0)
        exit(1);
    descriptors("pipe", (struct ends){back[0], there[1]}, (struct ends){there[0], back[1]});
    wake_ups();
    return arg;
}

int main(void) {
    nyario_detach(nyario_spawn(measures, NULL));
    return nyario_loop();
}
