/* nyario_cancel: a fiber that waits for something that never comes is told to end, and cleans up by itself. */
#include <nyario.h>
#include <stdio.h>
#include <unistd.h>

static void *reader(void *arg) {
    int *pipe_ends = arg;
    char byte;
    ssize_t n = nyario_read(pipe_ends[0], &byte, 1);
    printf("read: %s\n", n < 0 ? nyario_err_name((int)n) : "data");
    nyario_close(pipe_ends[0]);
    return NULL;
}

static void *canceller(void *arg) {
    nyario_fiber fiber = nyario_spawn(reader, arg);
    nyario_yield(); /* now the reader waits */
    nyario_cancel(fiber);
    nyario_join(fiber, NULL);
    return NULL;
}

int main(void) {
    int pipe_ends[2];
    if (pipe(pipe_ends) < 0)
        return 1;
    nyario_detach(nyario_spawn(canceller, pipe_ends));
    return nyario_loop();
}
