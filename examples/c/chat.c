/*
 * A chat: what one client writes, all the others read. Each client is two fibers: one reads its lines and gives them to
 * the hall, a channel; the other writes what its own channel, the outbox, brings. In between, one fiber copies each line
 * from the hall into every outbox. Nobody waits for a slow client: what its outbox has no room for, it misses.
 */
#include "example.h"

#include <errno.h>

struct line {
    int from;
    int length;
    char text[504];
};

struct client {
    int fd;
    int number;
    nyario_channel outbox;
    struct client *next;
};

static struct client *clients;
static nyario_channel hall = NYARIO_CHANNEL_INIT(sizeof(struct line), 16);

static void *copies_to_all(void *arg) {
    struct line line;
    while (nyario_channel_receive(&hall, &line) == 0)
        for (struct client *client = clients; client; client = client->next)
            if (client->number != line.from)
                nyario_channel_try_send(&client->outbox, &line);
    return arg;
}

static void *writes(void *arg) {
    struct client *client = arg;
    struct line line;
    while (nyario_channel_receive(&client->outbox, &line) == 0)
        if (nyario_write(client->fd, line.text, (size_t)line.length) != line.length)
            break;
    return NULL;
}

/* Gives a line to the hall, with the name of its client in front. */
static int say(int from, const char *text, int length) {
    struct line line = {from, 0, ""};
    line.length = snprintf(line.text, sizeof line.text, "guest %d: %.*s\n", from, length, text);
    if (line.length >= (int)sizeof line.text) {
        line.length = sizeof line.text;
        line.text[line.length - 1] = '\n';
    }
    return nyario_channel_send(&hall, &line);
}

static void reads(struct client *client) {
    char buf[400];
    size_t have = 0;
    ssize_t n;
    while ((n = nyario_read(client->fd, buf + have, sizeof buf - have)) > 0) {
        char *rest = buf, *end;
        have += (size_t)n;
        while ((end = memchr(rest, '\n', (size_t)(buf + have - rest)))) {
            if (say(client->number, rest, (int)(end - rest)) < 0)
                return;
            rest = end + 1;
        }
        have -= (size_t)(rest - buf);
        memmove(buf, rest, have);
        if (have == sizeof buf) {
            /* Longer than a line may be: it is said in parts. */
            if (say(client->number, buf, (int)have) < 0)
                return;
            have = 0;
        }
    }
}

static void chat(int fd, void *arg) {
    static int guests;
    struct client client = {fd, ++guests, NYARIO_CHANNEL_INIT(sizeof(struct line), 64), clients};
    char greeting[32];
    int length = snprintf(greeting, sizeof greeting, "you are guest %d\n", client.number);
    nyario_fiber writer;
    (void)arg;
    if (nyario_write(fd, greeting, (size_t)length) != length)
        return;
    writer = nyario_spawn(writes, &client);
    if (writer < 0)
        return;
    client.next = clients;
    clients = &client;
    say(client.number, "hello", 5);

    reads(&client);

    struct client **at = &clients;
    while (*at != &client)
        at = &(*at)->next;
    *at = client.next;
    nyario_channel_close(&client.outbox);
    /* The writer uses what lies on this stack, so it is waited for, cancelled or not. */
    while (nyario_join(writer, NULL) == -ECANCELED)
        ;
    nyario_channel_destroy(&client.outbox);
    say(client.number, "goodbye", 7);
}

int main(int argc, char **argv) {
    nyario_fiber copier = nyario_spawn(copies_to_all, NULL);
    if (copier < 0)
        fail("nyario_spawn", (int)copier);
    nyario_detach(copier);
    return serve(argc, argv, chat, NYARIO_EAGER);
}
