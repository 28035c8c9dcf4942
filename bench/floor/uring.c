/* The floor by completion: what one thread of C can do with io_uring (Linux 6.1 and later), with multishot recv
 * into a ring of provided buffers. */
#include "ring.h"

#define BUFFERS 256

/* One peer that does not read cannot take every buffer. A dozen of them can, and the others then wait: a
 * server for strangers would copy what it holds, and a floor would no longer be one. */
#define QUEUE_MAX 32

/* Buffers that lie a power of two apart would all begin in the same few sets of the cache. */
#define BUFFER_STRIDE (READ_SIZE + 64)

struct connection {
    unsigned char seen;
    bool receiving, cancelled, hungry, ended, broken;
    uint16_t first, last, queued; /* buffers whose replies are due; the first one's is on its way */
};

struct buffer {
    struct reply reply;
    uint16_t next;
};

static struct io_uring_buf_ring *provided;
static uint16_t provided_tail;
static unsigned lent; /* buffers whose bytes are not answered yet */
static char memory[BUFFERS * BUFFER_STRIDE];
static struct buffer buffers[BUFFERS];

static struct connection connections[CONNECTIONS];
static uint32_t hungry[CONNECTIONS]; /* those that found every buffer lent */
static unsigned hungry_count;

static void receive(uint32_t slot)
{
    struct io_uring_sqe *sqe = prepare(RECV, slot);
    sqe->opcode = IORING_OP_RECV;
    sqe->fd = slot;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    connections[slot].receiving = true;
    connections[slot].cancelled = false;
}

static void send_first(uint32_t slot)
{
    struct reply *reply = &buffers[connections[slot].first].reply;
    struct io_uring_sqe *sqe = prepare(SEND, slot);
    sqe->opcode = IORING_OP_SEND;
    sqe->fd = slot;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->addr = (uintptr_t)reply->bytes;
    sqe->len = reply->size;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
}

static void cancel_receive(uint32_t slot)
{
    struct io_uring_sqe *sqe = prepare(CANCEL, slot);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->addr = (uint64_t)slot << 8 | RECV;
    connections[slot].cancelled = true;
}

static void provide(uint16_t id)
{
    struct io_uring_buf *entry = &provided->bufs[provided_tail++ & (BUFFERS - 1)];
    entry->addr = (uintptr_t)(memory + (size_t)id * BUFFER_STRIDE);
    entry->len = READ_SIZE;
    entry->bid = id;
    __atomic_store_n(&provided->tail, provided_tail, __ATOMIC_RELEASE);

    lent--;
    if (hungry_count) {
        uint32_t slot = hungry[--hungry_count];
        connections[slot].hungry = false;
        receive(slot);
    }
}

/* Once every reply is out, either goes on receiving or, where the peer is gone, closes. */
static void rest(uint32_t slot)
{
    struct connection *c = &connections[slot];
    if (c->receiving || c->hungry || c->queued)
        return;
    if (c->ended)
        close_slot(slot);
    else
        receive(slot);
}

static void begin(uint32_t slot)
{
    connections[slot] = (struct connection){ 0 };
    receive(slot);
}

static void enqueue(uint32_t slot, uint16_t id, size_t size)
{
    struct connection *c = &connections[slot];
    buffers[id].reply = floor_reply(&c->seen, memory + (size_t)id * BUFFER_STRIDE, size);
    if (!buffers[id].reply.size || c->broken) {
        provide(id);
        return;
    }
    if (c->queued++) {
        buffers[c->last].next = id;
        c->last = id;
    } else {
        c->first = c->last = id;
        send_first(slot);
    }
}

static void received(uint32_t slot, const struct io_uring_cqe *cqe)
{
    struct connection *c = &connections[slot];
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint16_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        lent++;
        enqueue(slot, id, cqe->res > 0 ? cqe->res : 0);
    }
    if (cqe->flags & IORING_CQE_F_MORE) {
        if (c->queued >= QUEUE_MAX && !c->cancelled)
            cancel_receive(slot);
        return;
    }
    c->receiving = false;
    if (cqe->res == -ENOBUFS && !c->queued && lent == BUFFERS) {
        c->hungry = true;
        hungry[hungry_count++] = slot;
        return;
    }
    if (cqe->res <= 0 && cqe->res != -ENOBUFS && cqe->res != -ECANCELED)
        c->ended = true;
    rest(slot);
}

static void sent(uint32_t slot, const struct io_uring_cqe *cqe)
{
    struct connection *c = &connections[slot];
    uint16_t id = c->first;
    c->first = buffers[id].next;
    c->queued--;
    c->broken |= cqe->res != (int)buffers[id].reply.size;
    provide(id);
    if (c->queued)
        send_first(slot); /* which fails at once, too, if this one did: the recv then reports the end */
    else
        rest(slot);
}

static void set_up_buffers(void)
{
    provided = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (provided == MAP_FAILED)
        floor_die("mmap");
    struct io_uring_buf_reg group = { .ring_addr = (uintptr_t)provided, .ring_entries = BUFFERS };
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_PBUF_RING, &group, 1))
        floor_die("IORING_REGISTER_PBUF_RING");
    for (lent = BUFFERS; lent;)
        provide(lent - 1);
}

int main(int argc, char **argv)
{
    floor_start(argc, argv);
    set_up_ring();
    set_up_files();
    set_up_buffers();
    serve(argv[2]);
}
