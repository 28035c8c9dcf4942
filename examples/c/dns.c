/* Looks up every host that the command line names, all at once, and says what it found in the order in which they were
 * named. A host that takes longer than the patience given (in milliseconds) is given up. */
#include <netdb.h>
#include <nyario.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LINE = 1024 };

struct question {
    const char *host;
    int64_t patience;
    nyario_fiber fiber;
    int error;
    char answer[LINE];
};

static void *look_up(void *arg) {
    struct question *question = arg;
    struct addrinfo hints, *found;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    nyario_deadline(nyario_now() + question->patience);
    question->error = nyario_getaddrinfo(question->host, NULL, &hints, &found);
    if (question->error < 0)
        return NULL;
    size_t used = 0;
    for (const struct addrinfo *entry = found; entry && used < LINE; entry = entry->ai_next) {
        char text[NI_MAXHOST];
        if (nyario_getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            used += (size_t)snprintf(question->answer + used, LINE - used, " %s", text);
    }
    freeaddrinfo(found);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: %s MILLISECONDS HOST...\n", argv[0]);
        return 2;
    }
    int count = argc - 2, failed = 0;
    struct question *questions = calloc((size_t)count, sizeof *questions);
    if (!questions)
        return 1;
    for (int i = 0; i < count; i++) {
        questions[i].host = argv[i + 2];
        questions[i].patience = (int64_t)atoi(argv[1]) * 1000000;
        questions[i].fiber = nyario_spawn(look_up, &questions[i]);
        if (questions[i].fiber < 0)
            questions[i].error = (int)questions[i].fiber;
    }
    int error = nyario_loop();
    for (int i = 0; i < count; i++) {
        if (questions[i].fiber > 0)
            nyario_join(questions[i].fiber, NULL);
        if (questions[i].error < 0) {
            printf("%s: %s\n", questions[i].host, nyario_strerror(questions[i].error));
            failed = 1;
        } else {
            printf("%s:%s\n", questions[i].host, questions[i].answer);
        }
    }
    free(questions);
    return error < 0 || failed;
}
