/* An HTTP/1.1 server that says hello: parses each request head, keeps connections alive, answers pipelined requests
 * in one write, and refuses what it does not understand. */
#include "example.h"
#include <strings.h>

enum { HEAD_MAX = 8192, ANSWERS_MAX = 8192 };

static const char HELLO[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n";
static const char GOODBYE[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
                              "Connection: close\r\n\r\nHello, world\n";
static const char BAD[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static const char TOO_LARGE[] = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
                                "Connection: close\r\n\r\n";
static const char NO_SUCH_CODING[] = "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct request {
    size_t head_length;
    size_t body_length;
    int keep_alive;
    int coded;
};

/* What methods and the names of headers are made of. NUL is not among it, which is what stands behind the text. */
static const char IN_TOKEN[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['a' ... 'z'] = 1, ['|'] = 1, ['~'] = 1,
};

static const char *after_token(const char *at) {
    while (IN_TOKEN[(unsigned char)*at])
        at++;
    return at;
}

/* Where a part of the head may go on, but does not: 0 when more is needed, -1 when it is malformed. */
static int stopped(const char *at, const char *end) {
    return at == end ? 0 : -1;
}

/* `wanted` is in small letters. Nearly every header differs from it in its length or its first letter. */
static inline int is(const char *word, size_t length, const char *wanted) {
    return length == strlen(wanted) && (word[0] | 0x20) == wanted[0] && strncasecmp(word, wanted, length) == 0;
}

/* Takes what a header says. 0, or -1 when it is malformed. */
static int take_header(struct request *request, const char *name, size_t name_length, const char *value,
                       const char *end) {
    int connection = is(name, name_length, "connection"), content_length = is(name, name_length, "content-length");
    if (is(name, name_length, "transfer-encoding"))
        request->coded = 1;
    if (!connection && !content_length)
        return 0;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t length = (size_t)(end - value);
    if (connection) {
        if (is(value, length, "close"))
            request->keep_alive = 0;
        else if (is(value, length, "keep-alive"))
            request->keep_alive = 1;
        return 0;
    }
    if (length == 0 || length > 9)
        return -1;
    request->body_length = 0;
    for (; value < end; value++) {
        if (*value < '0' || *value > '9')
            return -1;
        request->body_length = request->body_length * 10 + (size_t)(*value - '0');
    }
    return 0;
}

/* Parses the request head at the start of `text`, behind whose `end` stands a NUL, in one pass: 1 when it is whole, 0 when
 * more is needed, -1 when it is none. */
static int parse(struct request *request, const char *text, const char *end) {
    static const char VERSION[] = "HTTP/1.";
    enum { VERSION_LENGTH = sizeof VERSION - 1, LINE_REST = VERSION_LENGTH + 3 };

    const char *at = after_token(text);
    if (*at != ' ' || at == text)
        return stopped(at, end);
    const char *target = ++at;
    while ((unsigned char)*at > ' ')
        at++;
    if (*at != ' ' || at == target)
        return stopped(at, end);
    at++;
    if (end - at < LINE_REST) {
        size_t there = (size_t)(end - at);
        return memcmp(at, VERSION, there < VERSION_LENGTH ? there : VERSION_LENGTH) == 0 ? 0 : -1;
    }
    if (memcmp(at, VERSION, VERSION_LENGTH) != 0 || at[VERSION_LENGTH] < '0' ||
        at[VERSION_LENGTH] > '9' || memcmp(at + VERSION_LENGTH + 1, "\r\n", 2) != 0)
        return -1;
    request->body_length = 0;
    request->keep_alive = at[VERSION_LENGTH] != '0';
    request->coded = 0;
    at += LINE_REST;

    while (*at != '\r') {
        const char *name = at;
        at = after_token(name);
        if (*at != ':' || at == name)
            return stopped(at, end);
        const char *value = at + 1;
        at = memchr(value, '\r', (size_t)(end - value));
        if (!at)
            return 0;
        if (at[1] != '\n')
            return stopped(at + 1, end);
        if (take_header(request, name, (size_t)(value - 1 - name), value, at) < 0)
            return -1;
        at += 2;
    }
    if (at[1] != '\n')
        return stopped(at + 1, end);
    request->head_length = (size_t)(at + 2 - text);
    return 1;
}

static void http(int fd, void *arg) {
    char in[HEAD_MAX + 1], out[ANSWERS_MAX];
    size_t have = 0, said = 0, skip = 0;
    (void)arg;
    for (;;) {
        ssize_t n = nyario_read(fd, in + have, HEAD_MAX - have);
        if (n <= 0)
            return;
        have += (size_t)n;
        in[have] = '\0';
        size_t used = 0;
        for (;;) {
            /* The body of the request before is of no interest. */
            size_t body = skip < have - used ? skip : have - used;
            used += body;
            skip -= body;
            if (used == have)
                break;
            struct request request;
            const char *answer = HELLO;
            int whole = parse(&request, in + used, in + have);
            if (whole == 0 && (used > 0 || have < HEAD_MAX))
                break;
            if (whole == 0)
                answer = TOO_LARGE;
            else if (whole < 0)
                answer = BAD;
            else if (request.coded)
                answer = NO_SUCH_CODING;
            else if (!request.keep_alive)
                answer = GOODBYE;
            size_t length = answer == HELLO ? sizeof HELLO - 1 : strlen(answer);
            if (said + length > sizeof out) {
                if (nyario_write(fd, out, said) != (ssize_t)said)
                    return;
                said = 0;
            }
            memcpy(out + said, answer, length);
            said += length;
            if (answer != HELLO) {
                nyario_write(fd, out, said);
                return;
            }
            used += request.head_length;
            skip = request.body_length;
        }
        if (said > 0 && nyario_write(fd, out, said) != (ssize_t)said)
            return;
        said = 0;
        if (used > 0)
            memmove(in, in + used, have - used);
        have -= used;
    }
}

int main(int argc, char **argv) {
    return serve(argc, argv, http, 0);
}
