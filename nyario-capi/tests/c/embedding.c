/* A loop within another: the other waits, and this one takes its turns. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

enum { REQUESTS = 1000 };

static const int64_t MILLISECOND = 1000000;

/* Two foreign loops: one asks afresh each time, the other keeps its registration and lies in wait for edges. A time-out
 * that is rounded up to milliseconds makes neither of them come back by itself. */
struct foreign {
    int backend;
    int epoll;
    int patient;
};

static struct foreign foreign_loop(int by_epoll) {
    struct foreign foreign = {nyario_backend_fd(), -1, 0};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    CHECK(foreign.backend >= 0);
    CHECK(fcntl(foreign.backend, F_GETFD) & FD_CLOEXEC);
    GIVES(nyario_backend_fd(), foreign.backend);
    if (by_epoll) {
        foreign.epoll = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(foreign.epoll, EPOLL_CTL_ADD, foreign.backend, &event) == 0);
    }
    return foreign;
}

/* Waits as long as it may, which is for ever when nothing is timed, and takes a turn. A patient one waits for ever when
 * nothing but housekeeping is timed, which would otherwise make up for what the descriptor fails to tell. */
static int go_round(struct foreign *foreign) {
    struct pollfd poll_fd = {.fd = foreign->backend, .events = POLLIN};
    struct epoll_event event;
    int64_t nanoseconds = nyario_backend_timeout();
    int milliseconds = nanoseconds < 0 ? -1 : (int)((nanoseconds + MILLISECOND - 1) / MILLISECOND);
    CHECK(nanoseconds >= -1);
    if (foreign->patient && milliseconds > 0)
        milliseconds = -1;
    if (foreign->epoll < 0)
        CHECK(poll(&poll_fd, 1, milliseconds) >= 0 || errno == EINTR);
    else
        CHECK(epoll_wait(foreign->epoll, &event, 1, milliseconds) >= 0 || errno == EINTR);
    return nyario_turn(0);
}

static void end(struct foreign *foreign) {
    GIVES(nyario_stop(), 0);
    GIVES(nyario_backend_timeout(), 0);
    GIVES(nyario_turn(0), 0);
    if (foreign->epoll >= 0)
        close(foreign->epoll);
}

/* A client that blocks, on a thread without a loop. */
struct client {
    char address[128];
    int pauses;
    atomic_int done;
};

static void *asks(void *arg) {
    struct client *client = arg;
    struct timespec pause = {0, 300000};
    int fd = nyario_dial(client->address);
    CHECK(fd >= 0);
    for (int i = 0; i < REQUESTS; i++) {
        check_echo(fd, "embedded");
        if (client->pauses && i % 50 == 0)
            nanosleep(&pause, NULL);
    }
    /* Before the last thing that the server hears of. */
    atomic_store(&client->done, 1);
    GIVES(nyario_close(fd), 0);
    return NULL;
}

static void *blocks_and_asks(void *arg) {
    return asks(arg);
}

static void serve_from(int by_epoll, int pauses) {
    struct foreign foreign = foreign_loop(by_epoll);
    struct client client = {.pauses = pauses};
    pthread_t thread;
    foreign.patient = 1;
    open_server("127.0.0.1:0", sends_back, NULL, 0, client.address);
    CHECK(pthread_create(&thread, NULL, blocks_and_asks, &client) == 0);
    while (!atomic_load(&client.done))
        CHECK(go_round(&foreign) == 1);
    CHECK(pthread_join(thread, NULL) == 0);
    end(&foreign);
    GIVES(nyario_dial(client.address), -ECONNREFUSED);
}

static void serves_every_request_under_poll(void) {
    serve_from(0, 0);
}

static void serves_every_request_under_epoll(void) {
    serve_from(1, 1);
}

/* Both ends of the talk on fibers of the embedded loop: what they submit must not wait for the next turn. */
static void *asks_through_the_loop(void *arg) {
    return asks(arg);
}

static void serves_its_own_fibers(void) {
    for (int by_epoll = 0; by_epoll < 2; by_epoll++) {
        struct foreign foreign = foreign_loop(by_epoll);
        struct client client = {.pauses = 0};
        foreign.patient = 1;
        open_server("127.0.0.1:0", sends_back, NULL, NYARIO_EAGER, client.address);
        GIVES(nyario_detach(nyario_spawn(asks_through_the_loop, &client)), 0);
        while (!atomic_load(&client.done))
            CHECK(go_round(&foreign) == 1);
        end(&foreign);
    }
}

static void *sleeps_often(void *arg) {
    for (int i = 0; i < 20; i++)
        GIVES(nyario_sleep(MILLISECOND / 2), 0);
    *(int *)arg = 1;
    return NULL;
}

static void timers_bound_the_wait(void) {
    for (int by_epoll = 0; by_epoll < 2; by_epoll++) {
        struct foreign foreign = foreign_loop(by_epoll);
        int done = 0;
        GIVES(nyario_detach(nyario_spawn(sleeps_often, &done)), 0);
        GIVES(nyario_backend_timeout(), 0);
        CHECK(nyario_turn(0) == 1);
        int64_t timeout = nyario_backend_timeout();
        CHECK(timeout >= 0 && timeout <= MILLISECOND / 2);
        while (go_round(&foreign) == 1)
            ;
        CHECK(done);
        end(&foreign);
    }
}

/* The turn's own wait: no foreign loop at all. */
static void a_turn_may_wait(void) {
    int done = 0;
    int64_t before = nyario_now();
    GIVES(nyario_turn(-1), 0);
    GIVES(nyario_detach(nyario_spawn(sleeps_often, &done)), 0);
    while (nyario_turn(-1) == 1)
        ;
    CHECK(done);
    CHECK(nyario_now() - before >= 20 * (MILLISECOND / 2));
}

static void *sleeps_long(void *arg) {
    (void)arg;
    GIVES(nyario_sleep(3600 * 1000 * MILLISECOND), -ECANCELED);
    return NULL;
}

/* It may wait for less: housekeeping that is due ends it early, too. */
static void a_turn_waits_no_longer_than_told(void) {
    nyario_fiber fiber = nyario_spawn(sleeps_long, NULL);
    CHECK(fiber > 0);
    for (int waited = 0; waited < 2;) {
        int64_t before = nyario_now();
        GIVES(nyario_turn(2 * MILLISECOND), 1);
        waited += nyario_now() - before >= 2 * MILLISECOND;
    }
    GIVES(nyario_cancel(fiber), 0);
    GIVES(nyario_turn(0), 0);
    GIVES(nyario_join(fiber, NULL), 0);
}

static atomic_int alarms;
static int pipe_in;

static void ring(void *data) {
    atomic_fetch_add(&alarms, 1);
    CHECK(write(*(int *)data, "x", 1) == 1);
}

static void ring_from_handler(int signal) {
    (void)signal;
    nyario_stop();
}

/* A wake-up from a signal handler on the loop's thread rings the alarm: once, however often it is asked. */
static void wakeups_ring_the_alarm_once(void) {
    int ends[2];
    char buf[16];
    struct foreign foreign = foreign_loop(1);
    CHECK(pipe(ends) == 0);
    pipe_in = ends[1];
    atomic_store(&alarms, 0);
    GIVES(nyario_wakeup(ring, &pipe_in), 0);
    nyario_fiber fiber = nyario_spawn(sleeps_long, NULL);
    while (nyario_backend_timeout() == 0)
        CHECK(nyario_turn(0) == 1);
    signal(SIGUSR1, ring_from_handler);
    CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR1) == 0);
    CHECK(atomic_load(&alarms) == 1);
    CHECK(read(ends[0], buf, sizeof buf) == 1);
    GIVES(nyario_turn(0), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    CHECK(atomic_load(&alarms) == 1);

    /* Without an alarm the descriptor tells. */
    struct pollfd poll_fd = {.fd = foreign.backend, .events = POLLIN};
    GIVES(nyario_wakeup(NULL, NULL), 0);
    /* Housekeeping that comes due shows there, too. */
    while (nyario_backend_timeout() == 0 || poll(&poll_fd, 1, 0) != 0)
        nyario_turn(0);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(poll(&poll_fd, 1, -1) == 1);
    CHECK(atomic_load(&alarms) == 1);
    end(&foreign);
    close(ends[0]);
    close(ends[1]);
}

/* Between turns nobody spins: when nothing happens, the descriptor is quiet and nothing is due. */
static void is_quiet_when_nothing_happens(void) {
    struct foreign foreign = foreign_loop(0);
    struct client client = {.pauses = 0};
    struct pollfd poll_fd = {.fd = foreign.backend, .events = POLLIN};
    int server = open_server("127.0.0.1:0", sends_back, NULL, 0, client.address);
    GIVES(nyario_detach(nyario_spawn(asks_through_the_loop, &client)), 0);
    while (!atomic_load(&client.done))
        CHECK(go_round(&foreign) == 1);
    GIVES(nyario_close(server), 0);
    /* The handler hears of its client's end when the kernel hands that on. */
    while (go_round(&foreign) == 1)
        ;
    /* The stacks that were given back are looked after, and then nothing is timed any more. */
    while (nyario_backend_timeout() >= 0)
        CHECK(go_round(&foreign) == 0);
    CHECK(poll(&poll_fd, 1, 0) == 0);
    GIVES(nyario_backend_timeout(), -1);
    end(&foreign);
}

/* Descriptors of other kinds, each written to by another thread when everybody sleeps. */
struct visitor {
    int in, out;
    sem_t read;
};

static void *reads_eights(void *arg) {
    struct visitor *visitor = arg;
    uint64_t value;
    for (int i = 0; i < 20; i++) {
        GIVES(nyario_read(visitor->in, &value, sizeof value), sizeof value);
        sem_post(&visitor->read);
    }
    return NULL;
}

static void *writes_eights(void *arg) {
    struct visitor *visitor = arg;
    struct timespec pause = {0, 1000000};
    uint64_t value = 1;
    for (int i = 0; i < 20; i++) {
        nanosleep(&pause, NULL);
        CHECK(write(visitor->out, &value, sizeof value) == sizeof value);
        while (sem_wait(&visitor->read) != 0)
            ;
    }
    return NULL;
}

static void visit(int in, int out) {
    for (int by_epoll = 0; by_epoll < 2; by_epoll++) {
        struct foreign foreign = foreign_loop(by_epoll);
        struct visitor visitor = {.in = in, .out = out};
        pthread_t thread;
        foreign.patient = 1;
        CHECK(sem_init(&visitor.read, 0, 0) == 0);
        GIVES(nyario_detach(nyario_spawn(reads_eights, &visitor)), 0);
        CHECK(pthread_create(&thread, NULL, writes_eights, &visitor) == 0);
        while (go_round(&foreign) == 1)
            ;
        CHECK(pthread_join(thread, NULL) == 0);
        end(&foreign);
    }
    GIVES(nyario_close(in), 0);
    if (in != out)
        GIVES(nyario_close(out), 0);
}

static void hears_of_pipes_and_eventfds(void) {
    int ends[2];
    int event = eventfd(0, EFD_CLOEXEC);
    visit(event, event);
    CHECK(pipe(ends) == 0);
    visit(ends[0], ends[1]);
}

/* Nobody is left, so the end of the grace is not waited for; and then everything is as before. */
static void a_drain_ends_with_the_last_fiber(void) {
    struct client client = {.pauses = 0};
    open_server("127.0.0.1:0", sends_back, NULL, 0, client.address);
    CHECK(nyario_turn(0) == 1);
    GIVES(nyario_drain(3600 * 1000 * MILLISECOND), 0);
    GIVES(nyario_turn(0), 0);
    GIVES(nyario_dial(client.address), -ECONNREFUSED);
    CHECK(nyario_backend_timeout() <= 100 * MILLISECOND);
    serve_from(0, 0);
}

static void *is_refused(void *arg) {
    (void)arg;
    GIVES(nyario_turn(0), -EDEADLK);
    GIVES(nyario_backend_timeout(), -EDEADLK);
    CHECK(nyario_backend_fd() >= 0);
    return NULL;
}

static void takes_no_turn_within_a_turn(void) {
    on_fiber(is_refused, NULL);
    GIVES(nyario_detach(nyario_spawn(is_refused, NULL)), 0);
    GIVES(nyario_turn(0), 0);
}

int main(void) {
    TEST(a_turn_may_wait);
    TEST(serves_every_request_under_poll);
    TEST(serves_every_request_under_epoll);
    TEST(serves_its_own_fibers);
    TEST(timers_bound_the_wait);
    TEST(a_turn_waits_no_longer_than_told);
    TEST(wakeups_ring_the_alarm_once);
    TEST(is_quiet_when_nothing_happens);
    TEST(hears_of_pipes_and_eventfds);
    TEST(a_drain_ends_with_the_last_fiber);
    TEST(takes_no_turn_within_a_turn);
    return summary("embedding");
}
