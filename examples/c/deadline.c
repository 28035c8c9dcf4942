/* Asks several servers the same line at once and takes the first answer. Whoever answers cancels the others, and nobody
 * is waited for longer than the deadline: deadline MILLISECONDS QUESTION ADDRESS... */
#include <errno.h>
#include <nyario.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVERS_MAX = 16, SECOND = 1000000000 };

struct asked {
    const char *address;
    const char *question;
    int64_t deadline;
    nyario_fiber fiber;
    char answer[256];
};

static struct asked servers[SERVERS_MAX];
static int count;

/* Reads a line: its length without the end, 0 when none comes, or a negative errno. */
static ssize_t read_line(int fd, char *line, size_t size) {
    size_t have = 0;
    while (have < size - 1) {
        ssize_t n = nyario_read(fd, line + have, size - 1 - have);
        if (n <= 0)
            return n;
        have += (size_t)n;
        line[have] = 0;
        char *end = strchr(line, '\n');
        if (end) {
            *end = 0;
            return end - line;
        }
    }
    return -EMSGSIZE;
}

/* Nothing here says when all must be over, or that it may be called off: the deadline and the cancel are the fiber's, and
 * every call that waits heeds them. Only dialling is not to take more than a second of that. */
static ssize_t ask(struct asked *asked) {
    int64_t outer = nyario_within(SECOND);
    int fd = nyario_dial(asked->address);
    nyario_deadline(outer);
    if (fd < 0)
        return fd;
    ssize_t result = nyario_write(fd, asked->question, strlen(asked->question));
    if (result >= 0)
        result = read_line(fd, asked->answer, sizeof asked->answer);
    nyario_close(fd);
    return result;
}

static void *contend(void *arg) {
    struct asked *asked = arg;
    nyario_deadline(asked->deadline);
    ssize_t result = ask(asked);
    if (result > 0)
        for (int i = 0; i < count; i++)
            if (&servers[i] != asked)
                nyario_cancel(servers[i].fiber);
    return (void *)(intptr_t)result;
}

int main(int argc, char **argv) {
    if (argc < 4 || argc - 3 > SERVERS_MAX) {
        fprintf(stderr, "usage: %s MILLISECONDS QUESTION ADDRESS... (at most %d)\n", argv[0], SERVERS_MAX);
        return 2;
    }
    static char question[256];
    snprintf(question, sizeof question, "%s\n", argv[2]);
    int64_t deadline = nyario_now() + atoll(argv[1]) * 1000000;
    for (count = 0; count < argc - 3; count++) {
        struct asked *asked = &servers[count];
        asked->address = argv[3 + count];
        asked->question = question;
        asked->deadline = deadline;
        asked->fiber = nyario_spawn(contend, asked);
    }

    int answers = 0, error = nyario_loop();
    for (int i = 0; i < count; i++) {
        void *result = NULL;
        if (error == 0)
            error = nyario_join(servers[i].fiber, &result);
        ssize_t length = (intptr_t)result;
        answers += length > 0;
        const char *said = length > 0 ? servers[i].answer : length < 0 ? nyario_err_name((int)length) : "no answer";
        printf("%s: %s\n", servers[i].address, said);
    }
    if (error < 0)
        fprintf(stderr, "%s\n", nyario_strerror(error));
    return answers == 0;
}
