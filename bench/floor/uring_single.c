/* The other floor by completion: single-shot recv into a buffer of each connection's own. It polls first, unless the
 * socket is known to hold more, as nearly always the answer goes out before the next message comes. It is linked to the
 * send before it, so that a message takes one enter and one completion. */
#include "ring.h"

struct connection {
    char *buffer;
    unsigned char seen;
    bool more;
};

static struct connection connections[CONNECTIONS];

static void receive(uint32_t slot)
{
    struct connection *c = &connections[slot];
    struct io_uring_sqe *sqe = prepare(RECV, slot);
    sqe->opcode = IORING_OP_RECV;
    sqe->fd = slot;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->ioprio = c->more ? 0 : IORING_RECVSEND_POLL_FIRST;
    sqe->addr = (uintptr_t)c->buffer;
    sqe->len = READ_SIZE;
}

static void begin(uint32_t slot)
{
    connections[slot] = (struct connection){ .buffer = malloc(READ_SIZE) };
    if (!connections[slot].buffer)
        floor_die("malloc");
    receive(slot);
}

static void end(uint32_t slot)
{
    free(connections[slot].buffer);
    close_slot(slot);
}

static void received(uint32_t slot, const struct io_uring_cqe *cqe)
{
    struct connection *c = &connections[slot];
    if (cqe->res <= 0) {
        end(slot);
        return;
    }
    c->more = cqe->flags & IORING_CQE_F_SOCK_NONEMPTY;
    struct reply reply = floor_reply(&c->seen, c->buffer, cqe->res);
    if (!reply.size) {
        receive(slot);
        return;
    }
    make_room(2); /* as a link does not reach into the next enter */
    struct io_uring_sqe *sqe = prepare(SEND, slot);
    sqe->opcode = IORING_OP_SEND;
    sqe->fd = slot;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe->addr = (uintptr_t)reply.bytes;
    sqe->len = reply.size;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    receive(slot);
}

/* Only a failure is told, and it cancels the recv behind it, which ends the connection. */
static void sent(uint32_t slot, const struct io_uring_cqe *cqe)
{
    (void)slot;
    (void)cqe;
}

int main(int argc, char **argv)
{
    floor_start(argc, argv);
    set_up_ring();
    set_up_files();
    serve(argv[2]);
}
