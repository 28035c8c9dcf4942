/*
 * nyario inside libev: fibers beside another loop's watchers, on one thread.
 *
 *   embedded_libev            prints what happens, and ends
 *
 * libev waits, and nyario takes a turn when its descriptor becomes readable, when its next timer is due, or when another
 * thread has told it something. An echo server and its client are fibers; a libev timer runs beside them; and what a
 * thread posts arrives through nyario_wakeup.
 */
#include <ev.h>
#include <nyario.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct ev_loop *loop;
static ev_io readable;
static ev_timer due;
static ev_async woken;
static ev_prepare before_waiting;
static ev_timer beside;
static char address[128];
static int ticks;
static nyario_semaphore heard = NYARIO_SEMAPHORE_INIT;
static nyario_semaphore ticked = NYARIO_SEMAPHORE_INIT;

static void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, nyario_strerror(error));
    exit(1);
}

/* Whichever watcher calls: one turn. */
static void take_turn(void) {
    int left = nyario_turn(0);
    if (left < 0)
        fail("nyario_turn", left);
    if (left == 0)
        ev_break(loop, EVBREAK_ALL);
}

static void when_readable(struct ev_loop *on, ev_io *watcher, int events) {
    (void)on, (void)watcher, (void)events;
    take_turn();
}

static void when_due(struct ev_loop *on, ev_timer *watcher, int events) {
    (void)on, (void)watcher, (void)events;
    take_turn();
}

static void when_woken(struct ev_loop *on, ev_async *watcher, int events) {
    (void)on, (void)watcher, (void)events;
    take_turn();
}

/* Called by libev before it waits: for how long it may. */
static void bound_the_wait(struct ev_loop *on, ev_prepare *watcher, int events) {
    int64_t nanoseconds = nyario_backend_timeout();
    (void)watcher, (void)events;
    ev_timer_stop(on, &due);
    if (nanoseconds >= 0) {
        /* Counted from the time that libev last looked at, which may be long ago. */
        ev_now_update(on);
        ev_timer_set(&due, (double)nanoseconds / 1e9, 0.);
        ev_timer_start(on, &due);
    }
}

/* Called on the thread that wakes nyario. */
static void wake(void *data) {
    (void)data;
    ev_async_send(loop, &woken);
}

static void when_ticking(struct ev_loop *on, ev_timer *watcher, int events) {
    (void)on, (void)watcher, (void)events;
    if (++ticks == 3)
        nyario_semaphore_post(&ticked);
}

static void echo(int fd, void *arg) {
    char buf[4096];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

/* Runs on a fiber of the loop, though a thread has asked for it. */
static void *hears(void *arg) {
    printf("a thread posted: %s\n", (const char *)arg);
    nyario_semaphore_post(&heard);
    return NULL;
}

static void *posts(void *arg) {
    int error = nyario_post(*(nyario_loop_id *)arg, hears, "hello");
    if (error < 0)
        fail("nyario_post", error);
    return NULL;
}

static void *client(void *arg) {
    char buf[64];
    pthread_t thread;
    nyario_loop_id here = nyario_loop_self();
    int fd = nyario_dial(address);
    (void)arg;
    if (fd < 0)
        fail(address, fd);
    for (int i = 1; i <= 3; i++) {
        int length = snprintf(buf, sizeof buf, "message %d", i);
        if (nyario_write(fd, buf, (size_t)length) != length)
            break;
        ssize_t n = nyario_read(fd, buf, sizeof buf - 1);
        if (n <= 0)
            break;
        buf[n] = 0;
        printf("echo: %s\n", buf);
        nyario_sleep(5 * 1000000);
    }
    nyario_close(fd);
    if (pthread_create(&thread, NULL, posts, &here) != 0)
        fail("pthread_create", -1);
    nyario_semaphore_wait(&heard);
    pthread_join(thread, NULL);
    nyario_semaphore_wait(&ticked);
    printf("libev's timer has ticked, too\n");
    nyario_stop();
    return NULL;
}

int main(void) {
    int server = nyario_listen("127.0.0.1:0");
    if (server < 0)
        fail("nyario_listen", server);
    int error = nyario_register(server, echo, NULL, 0);
    if (error < 0)
        fail("nyario_register", error);
    nyario_address(server, address, sizeof address);
    nyario_detach(nyario_spawn(client, NULL));

    loop = ev_default_loop(0);
    int fd = nyario_backend_fd();
    if (fd < 0)
        fail("nyario_backend_fd", fd);
    ev_io_init(&readable, when_readable, fd, EV_READ);
    ev_io_start(loop, &readable);
    ev_timer_init(&due, when_due, 0., 0.);
    ev_async_init(&woken, when_woken);
    ev_async_start(loop, &woken);
    ev_prepare_init(&before_waiting, bound_the_wait);
    ev_prepare_start(loop, &before_waiting);
    nyario_wakeup(wake, NULL);

    ev_timer_init(&beside, when_ticking, 0.002, 0.002);
    ev_timer_start(loop, &beside);
    ev_run(loop, 0);
    return 0;
}
