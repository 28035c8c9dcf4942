/* A server that computes: it answers each line that holds a number with the largest prime up to it. The computing is left
 * to a pool of threads, so that meanwhile the loop serves everybody else; whoever waits longer than a second is told so. */
#include "example.h"
#include <errno.h>

static const int64_t PATIENCE = 1000000000;

struct work {
    unsigned long number, prime;
};

/* Runs on a thread of the pool, and may take as long as it likes. */
static void *find_prime(void *arg) {
    struct work *work = arg;
    for (unsigned long candidate = work->number; candidate >= 2; candidate--) {
        unsigned long divisor = 2;
        while (divisor <= candidate / divisor && candidate % divisor != 0)
            divisor++;
        if (divisor > candidate / divisor) {
            work->prime = candidate;
            return work;
        }
    }
    return NULL;
}

static int answer(int fd, const char *line) {
    struct work work = {strtoul(line, NULL, 10), 0};
    void *found = NULL;
    char text[64];
    nyario_deadline(nyario_now() + PATIENCE);
    int error = nyario_blocking(find_prime, &work, &found);
    nyario_deadline(0);
    if (error < 0)
        snprintf(text, sizeof text, "%s\n", error == -ETIMEDOUT ? "busy" : nyario_strerror(error));
    else if (found)
        snprintf(text, sizeof text, "%lu\n", work.prime);
    else
        snprintf(text, sizeof text, "none\n");
    return nyario_write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static void primes(int fd, void *arg) {
    char buf[256];
    size_t have = 0;
    (void)arg;
    for (;;) {
        ssize_t n = nyario_read(fd, buf + have, sizeof buf - 1 - have);
        if (n <= 0)
            return;
        have += (size_t)n;
        buf[have] = '\0';
        char *line = buf, *end;
        while ((end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            if (!answer(fd, line))
                return;
            line = end + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
        if (have == sizeof buf - 1)
            return;
    }
}

int main(int argc, char **argv) {
    return serve(argc, argv, primes, 0);
}
