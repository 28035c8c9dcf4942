/*
 * A million fibers, or as many as the first argument says. Each sleeps a little and then sends its number through a channel
 * to a fiber that sends it back through another. When all of them wait at once, the memory that each costs is measured.
 */
#include <nyario.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static nyario_channel there = NYARIO_CHANNEL_INIT(sizeof(long), 0), back = NYARIO_CHANNEL_INIT(sizeof(long), 0);
static nyario_semaphore all_wait = NYARIO_SEMAPHORE_INIT;
static long count = 1000000, awake, failures, sum;

static void *sleeps_and_echoes(void *arg) {
    long number = (long)arg;
    int error = nyario_sleep(1000000 + number % 1000 * 1000);
    if (++awake == count)
        nyario_semaphore_post(&all_wait);
    if (error == 0)
        error = nyario_channel_send(&there, &number);
    if (error == 0)
        error = nyario_channel_receive(&back, &number);
    if (error == 0)
        sum += number;
    else
        failures++;
    return NULL;
}

static long resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void *echoes(void *arg) {
    long before = resident_bytes(), number;
    int64_t begun = nyario_now();
    for (long i = 0; i < count; i++) {
        nyario_fiber fiber = nyario_spawn(sleeps_and_echoes, (void *)i);
        if (fiber < 0 || nyario_detach((nyario_fiber)fiber) < 0) {
            fprintf(stderr, "fiber %ld: %s\n", i, nyario_strerror((int)fiber));
            exit(1);
        }
    }
    nyario_semaphore_wait(&all_wait);
    long peak = resident_bytes();
    for (long i = 0; i < count; i++)
        if (nyario_channel_receive(&there, &number) < 0 || nyario_channel_send(&back, &number) < 0)
            failures++;
    double seconds = (double)(nyario_now() - begun) / 1e9;
    printf("%ld fibers in %.1f s: %ld bytes resident for each, %ld MiB at the peak\n", count, seconds,
           (peak - before) / count, peak >> 20);
    return arg;
}

int main(int argc, char **argv) {
    if (argc > 1)
        count = atol(argv[1]);
    if (count < 1) {
        fprintf(stderr, "usage: %s [FIBERS]\n", argv[0]);
        return 2;
    }
    nyario_fiber fiber = nyario_spawn(echoes, NULL);
    if (fiber < 0 || nyario_detach(fiber) < 0 || nyario_loop() < 0)
        return 1;
    /* Each number came back, to whom it may. */
    if (failures != 0 || sum != count * (count - 1) / 2) {
        fprintf(stderr, "%ld failures, a sum of %ld\n", failures, sum);
        return 1;
    }
    printf("every number came back\n");
    return 0;
}
