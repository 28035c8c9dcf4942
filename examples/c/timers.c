/* A kitchen: a clock that strikes, an egg that is done, a guest who is late, and a roast that is forgotten in time. */
#include <nyario.h>
#include <stdio.h>

static const int64_t MINUTE = 10 * 1000 * 1000; /* a minute of this kitchen, in nanoseconds */

static nyario_timer clock_timer, roast;
static int minutes;

/* Every minute since the clock was wound, however long the last stroke took. */
static void strike(void *arg) {
    (void)arg;
    printf("minute %d\n", ++minutes);
    if (minutes == 6) {
        nyario_timer_cancel(clock_timer);
        printf("the clock is stopped\n");
    }
}

/* A callback runs on a fiber of its own: it may wait like any other. */
static void serve_egg(void *arg) {
    printf("the %s is done\n", (const char *)arg);
    nyario_sleep(MINUTE);
    printf("the %s has cooled down\n", (const char *)arg);
}

static void burn(void *arg) {
    printf("the %s is burnt\n", (const char *)arg);
}

static void remember(void *arg) {
    if (nyario_timer_cancel(roast) == 0)
        printf("the %s is taken out in time\n", (const char *)arg);
}

int main(void) {
    /* No fiber yet, and none for a timer until its time has come. */
    clock_timer = nyario_every(MINUTE, strike, NULL);
    nyario_after(3 * MINUTE + MINUTE / 2, serve_egg, "egg");
    roast = nyario_after(60 * MINUTE, burn, "roast");
    nyario_after(5 * MINUTE + MINUTE / 2, remember, "roast");

    /* Returns when no timer is left. */
    int error = nyario_loop();
    if (error < 0)
        fprintf(stderr, "%s\n", nyario_strerror(error));
    return error < 0;
}
