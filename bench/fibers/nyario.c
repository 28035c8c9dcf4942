/* nyario: two fibers that yield to each other through the loop, and fibers that are spawned and joined one by one. */
#include "measure.h"
#include <nyario.h>

/* Not inlined: both fibers return to the same place, as those that serve connections do, and the processor knows it. */
__attribute__((noinline)) static void *yields(void *count) {
    for (long left = (long)count; left > 0; left--)
        nyario_yield();
    return NULL;
}

static void *returns(void *arg) {
    return arg;
}

static void *measures(void *arg) {
    (void)arg;
    for (int round = 0; round < 2; round++) {
        /* The first round warms up. */
        double begun = processor_nanos();
        nyario_fiber other = nyario_spawn(yields, (void *)(SWITCHES / 2L));
        yields((void *)(SWITCHES / 2L));
        nyario_join(other, NULL);
        if (round == 1)
            tell("switch", begun, SWITCHES);
    }
    for (int round = 0; round < 2; round++) {
        double begun = processor_nanos();
        for (long spawned = 0; spawned < SPAWNS; spawned++)
            nyario_join(nyario_spawn(returns, NULL), NULL);
        if (round == 1)
            tell("spawn", begun, SPAWNS);
    }
    return NULL;
}

int main(void) {
    nyario_detach(nyario_spawn(measures, NULL));
    return nyario_loop();
}
