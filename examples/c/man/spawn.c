/* nyario_spawn, nyario_join, nyario_yield: two fibers take turns, and a third collects what they return. */
#include <nyario.h>
#include <stdio.h>

static void *count(void *arg) {
    long sum = 0, i;
    for (i = 1; i <= 3; i++) {
        printf("%s %ld\n", (const char *)arg, i);
        sum += i;
        nyario_yield();
    }
    return (void *)sum;
}

static void *both(void *arg) {
    nyario_fiber one = nyario_spawn(count, "one");
    nyario_fiber two = nyario_spawn(count, "two");
    void *first, *second;
    if (nyario_join(one, &first) == 0 && nyario_join(two, &second) == 0)
        printf("together %ld\n", (long)first + (long)second);
    return arg;
}

int main(void) {
    nyario_detach(nyario_spawn(both, NULL));
    return nyario_loop();
}
