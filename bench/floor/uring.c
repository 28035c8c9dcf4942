/* The floor by completion: what one thread of C can do with io_uring (Linux 6.1 and later), spoken to
 * directly: multishot accept, multishot recv into a ring of provided buffers, descriptors that live in the
 * ring alone, one io_uring_enter for all that is to be sent and for the wait. */
#include "floor.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 4096
#define CONNECTIONS 65536
#define BUFFERS 256

/* One peer that does not read cannot take every buffer. A dozen of them can, and the others then wait: a
 * server for strangers would copy what it holds, and a floor would no longer be one. */
#define QUEUE_MAX 32

/* Buffers that lie a power of two apart would all begin in the same few sets of the cache. */
#define BUFFER_STRIDE (READ_SIZE + 64)

enum operation { ACCEPT, RECV, SEND, CANCEL, CLOSE };

struct connection {
    unsigned char seen;
    bool receiving, cancelled, hungry, ended, broken;
    uint16_t first, last, queued; /* buffers whose replies are due; the first one's is on its way */
};

struct buffer {
    struct reply reply;
    uint16_t next;
};

static int ring;
static unsigned *sq_head, *sq_tail, *cq_head, *cq_tail;
static unsigned sq_mask, cq_mask, sq_local, sq_told;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static struct io_uring_buf_ring *provided;
static uint16_t provided_tail;
static unsigned lent; /* buffers whose bytes are not answered yet */
static char memory[BUFFERS * BUFFER_STRIDE];
static struct buffer buffers[BUFFERS];

static struct connection connections[CONNECTIONS];
static uint32_t hungry[CONNECTIONS]; /* those that found every buffer lent */
static unsigned hungry_count;
static int listener;

static void enter(unsigned wait)
{
    __atomic_store_n(sq_tail, sq_local, __ATOMIC_RELEASE);
    int taken = syscall(SYS_io_uring_enter, ring, sq_local - sq_told, wait, IORING_ENTER_GETEVENTS, NULL, 0);
    if (taken >= 0)
        sq_told += taken;
    else if (errno != EINTR && errno != EBUSY && errno != EAGAIN)
        floor_die("io_uring_enter");
}

static struct io_uring_sqe *prepare(enum operation operation, uint32_t slot)
{
    while (sq_local - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask)
        enter(0);
    struct io_uring_sqe *sqe = &sqes[sq_local++ & sq_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->user_data = (uint64_t)slot << 8 | operation;
    return sqe;
}

static void accept_on(void)
{
    struct io_uring_sqe *sqe = prepare(ACCEPT, 0);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

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

static void close_slot(uint32_t slot)
{
    struct io_uring_sqe *sqe = prepare(CLOSE, slot);
    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = slot + 1;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
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

static void accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        connections[cqe->res] = (struct connection){ 0 };
        receive(cqe->res);
    } else if (cqe->res != -ECONNABORTED && cqe->res != -EINTR) {
        errno = -cqe->res;
        floor_die("accept");
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        accept_on();
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

static void set_up_ring(void)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * ENTRIES,
    };
    ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring < 0)
        floor_die("io_uring_setup");

    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t cq_size = p.cq_off.cqes + p.cq_entries * sizeof *cqes;
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    char *rings = mmap(NULL, sq_size > cq_size ? sq_size : cq_size, protection, flags, ring, IORING_OFF_SQ_RING);
    sqes = mmap(NULL, p.sq_entries * sizeof *sqes, protection, flags, ring, IORING_OFF_SQES);
    if (rings == MAP_FAILED || sqes == MAP_FAILED)
        floor_die("mmap");

    sq_head = (unsigned *)(rings + p.sq_off.head);
    sq_tail = (unsigned *)(rings + p.sq_off.tail);
    sq_mask = p.sq_entries - 1;
    cq_head = (unsigned *)(rings + p.cq_off.head);
    cq_tail = (unsigned *)(rings + p.cq_off.tail);
    cq_mask = p.cq_entries - 1;
    cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
    for (unsigned i = 0; i < p.sq_entries; i++)
        ((unsigned *)(rings + p.sq_off.array))[i] = i;
}

static void set_up_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        floor_die("getrlimit");
    struct io_uring_rsrc_register table = {
        .nr = files.rlim_cur < CONNECTIONS ? files.rlim_cur : CONNECTIONS,
        .flags = IORING_RSRC_REGISTER_SPARSE,
    };
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES2, &table, sizeof table))
        floor_die("IORING_REGISTER_FILES2");
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
    listener = floor_listen(argv[2], 0);
    accept_on();

    for (;;) {
        enter(1);
        unsigned head = *cq_head, tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) {
            const struct io_uring_cqe *cqe = &cqes[head & cq_mask];
            uint32_t slot = cqe->user_data >> 8;
            switch ((enum operation)(cqe->user_data & 0xff)) {
            case ACCEPT: accepted(cqe); break;
            case RECV: received(slot, cqe); break;
            case SEND: sent(slot, cqe); break;
            case CANCEL: break;
            case CLOSE: errno = -cqe->res; floor_die("close");
            }
        }
        __atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
    }
}
