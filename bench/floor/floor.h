/* What the floors that answer share: the answers. */
#ifndef NYARIO_FLOOR_H
#define NYARIO_FLOOR_H

#include "process.h"

#define READ_SIZE 16384
#define ANSWER                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
#define ANSWER_SIZE (sizeof ANSWER - 1)

struct reply {
    const char *bytes;
    size_t size;
};

static bool floor_http;

/* Counts the request heads that end in these bytes. `seen` carries how much of the blank line the bytes
 * before them ended with, because a head may be split anywhere. A GET has no body, so none is skipped. */
static unsigned floor_heads(unsigned char *seen, const char *at, size_t size)
{
    static const char blank[] = "\r\n\r\n";
    const char *end = at + size;
    unsigned heads = 0;

    while (at < end) {
        if (*seen == 0 && !(at = memchr(at, '\r', end - at)))
            break;
        if (*at == blank[*seen])
            ++*seen;
        else
            *seen = *at == '\r';
        if (*seen == 4) {
            *seen = 0;
            heads++;
        }
        at++;
    }
    return heads;
}

static struct reply floor_reply(unsigned char *seen, const char *bytes, size_t size)
{
    /* As many answers as one read can ask for, so that a pipelined batch is one send; filled as far as
     * was ever needed, so that the memory of the others stays untouched. */
    static char answers[READ_SIZE / 4 * ANSWER_SIZE];
    static unsigned filled;

    if (!floor_http)
        return (struct reply){ bytes, size };

    unsigned heads = floor_heads(seen, bytes, size);
    for (; filled < heads; filled++)
        memcpy(answers + filled * ANSWER_SIZE, ANSWER, ANSWER_SIZE);
    return (struct reply){ answers, heads * ANSWER_SIZE };
}

static void floor_start(int argc, char **argv)
{
    if (argc != 3 || (strcmp(argv[1], "echo") && strcmp(argv[1], "http"))) {
        fprintf(stderr, "usage: %s echo|http HOST:PORT|/PATH\n", argv[0]);
        exit(2);
    }
    floor_http = strcmp(argv[1], "http") == 0;
    floor_prepare();
}

#endif
