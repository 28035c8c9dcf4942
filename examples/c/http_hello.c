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

static int is_value(const char *value, size_t length, const char *wanted) {
    return length == strlen(wanted) && strncasecmp(value, wanted, length) == 0;
}

/* Reads one header line, from its name to before its line end. 0, or -1 when it is malformed. */
static int parse_header(struct request *request, const char *line, const char *end) {
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon || colon == line)
        return -1;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t name_length = (size_t)(colon - line), length = (size_t)(end - value);
    if (is_value(line, name_length, "connection")) {
        if (is_value(value, length, "close"))
            request->keep_alive = 0;
        else if (is_value(value, length, "keep-alive"))
            request->keep_alive = 1;
    } else if (is_value(line, name_length, "transfer-encoding")) {
        request->coded = 1;
    } else if (is_value(line, name_length, "content-length")) {
        if (length == 0 || length > 9)
            return -1;
        request->body_length = 0;
        for (size_t i = 0; i < length; i++) {
            if (value[i] < '0' || value[i] > '9')
                return -1;
            request->body_length = request->body_length * 10 + (size_t)(value[i] - '0');
        }
    }
    return 0;
}

/* Parses the request head at the start of `text`: 1 when it is whole, 0 when more is needed, -1 when it is none. */
static int parse(struct request *request, const char *text, size_t length) {
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    const char *line_end = memchr(text, '\r', (size_t)(end - text) + 1);
    const char *target = memchr(text, ' ', (size_t)(line_end - text));
    if (!target || target == text)
        return -1;
    target++;
    const char *version = memchr(target, ' ', (size_t)(line_end - target));
    if (!version || version == target)
        return -1;
    version++;
    if (line_end - version != 8 || memcmp(version, "HTTP/1.", 7) != 0)
        return -1;
    request->head_length = (size_t)(end - text) + 4;
    request->body_length = 0;
    request->keep_alive = version[7] != '0';
    request->coded = 0;
    while (line_end < end) {
        const char *line = line_end + 2;
        line_end = memchr(line, '\r', (size_t)(end - line) + 1);
        if (parse_header(request, line, line_end) < 0)
            return -1;
    }
    return 1;
}

static void http(int fd, void *arg) {
    char in[HEAD_MAX], out[ANSWERS_MAX];
    size_t have = 0, said = 0, skip = 0;
    (void)arg;
    for (;;) {
        ssize_t n = nyario_read(fd, in + have, sizeof in - have);
        if (n <= 0)
            return;
        have += (size_t)n;
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
            int whole = parse(&request, in + used, have - used);
            if (whole == 0 && (used > 0 || have < sizeof in))
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
