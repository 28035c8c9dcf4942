/* What the programs of this folder share: how often, how they measure, and how they tell. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMERS = 1000000, MESSAGES = 1000000, BYTES = 300000, WAKES = 3000 };

/* Who reads has room for more than the one byte that comes, as servers have: a short read says that there is no more. */
enum { ROOM = 64 };

/* Nanoseconds by which the first timer waits, and by which each later one waits longer. */
enum { TIMER_FIRST = 100000000, TIMER_STEP = 400 };

/* Nanoseconds after which a loop surely sleeps. */
enum { NAP = 100000 };

static double nanos(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Processor time, because the machine may have other things to do. */
static double processor_nanos(void) {
    return nanos(CLOCK_PROCESS_CPUTIME_ID);
}

static void tell(const char *what, double since, long count) {
    printf("%s %.3f\n", what, (processor_nanos() - since) / (double)count);
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

#endif
