/* What the programs of this folder share: how they measure, and how they tell. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdio.h>
#include <time.h>

enum { SWITCHES = 4000000, SPAWNS = 1000000 };

/* Processor time, because the machine may have other things to do. */
static double processor_nanos(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void tell(const char *what, double since, long count) {
    printf("%s %.3f\n", what, (processor_nanos() - since) / (double)count);
}

#endif
