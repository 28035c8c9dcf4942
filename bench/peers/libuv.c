/* libuv, whose listening socket, answers and end are those of the floors. */
#include "../floor/floor.h"
#include <uv.h>

struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    char *held; /* what the peer had no room for */
    unsigned char seen;
};

static void closed(uv_handle_t *handle)
{
    struct connection *c = (struct connection *)handle;
    free(c->held);
    free(c);
}

static void lend(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    static char memory[READ_SIZE];
    (void)handle, (void)wanted;
    *buffer = uv_buf_init(memory, sizeof memory);
}

static void received(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void sent(uv_write_t *write, int status)
{
    struct connection *c = write->data;
    free(c->held);
    c->held = NULL;
    if (status < 0) {
        if (!uv_is_closing((uv_handle_t *)&c->tcp))
            uv_close((uv_handle_t *)&c->tcp, closed);
        return;
    }
    uv_read_start((uv_stream_t *)&c->tcp, lend, received);
}

/* Reads nothing while the peer has no room, as the floors do. */
static void hold(struct connection *c, const char *bytes, size_t size)
{
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_read_stop(stream);
    c->held = malloc(size);
    if (!c->held)
        floor_die("malloc");
    memcpy(c->held, bytes, size);
    c->write.data = c;
    uv_buf_t held = uv_buf_init(c->held, size);
    uv_write(&c->write, stream, &held, 1, sent);
}

static void received(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *c = (struct connection *)stream;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, closed);
        return;
    }
    struct reply reply = floor_reply(&c->seen, buffer->base, size);
    if (!reply.size)
        return;
    uv_buf_t bytes = uv_buf_init((char *)reply.bytes, reply.size);
    int done = uv_try_write(stream, &bytes, 1);
    if (done < 0 && done != UV_EAGAIN)
        uv_close((uv_handle_t *)stream, closed);
    else if (done < (int)reply.size)
        hold(c, reply.bytes + (done < 0 ? 0 : done), reply.size - (done < 0 ? 0 : done));
}

static void connected(uv_stream_t *listener, int status)
{
    struct connection *c = calloc(1, sizeof *c);
    if (status < 0 || !c)
        floor_die("accept");
    uv_tcp_init(listener->loop, &c->tcp);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, closed);
    else
        uv_read_start((uv_stream_t *)&c->tcp, lend, received);
}

int main(int argc, char **argv)
{
    uv_tcp_t listener;

    floor_start(argc, argv);
    if (uv_tcp_init(uv_default_loop(), &listener) ||
        uv_tcp_open(&listener, floor_listen(argv[2], SOCK_NONBLOCK)) ||
        uv_listen((uv_stream_t *)&listener, SOMAXCONN, connected))
        floor_die("libuv");
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
