/* What the two floors by completion share: a ring that is spoken to directly, multishot accept, descriptors that live
 * in the ring alone, one io_uring_enter for all that is to be done and for the wait. */
#ifndef NYARIO_RING_H
#define NYARIO_RING_H

#include "floor.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 4096
#define CONNECTIONS 65536

enum operation { ACCEPT, RECV, SEND, CANCEL, CLOSE };

static int ring;
static unsigned *sq_head, *sq_tail, *cq_head, *cq_tail;
static unsigned sq_mask, cq_mask, sq_local, sq_told;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
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

static void make_room(unsigned count)
{
    while (sq_local + count - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) > sq_mask + 1)
        enter(0);
}

static struct io_uring_sqe *prepare(enum operation operation, uint32_t slot)
{
    make_room(1);
    struct io_uring_sqe *sqe = &sqes[sq_local++ & sq_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->user_data = (uint64_t)slot << 8 | operation;
    return sqe;
}

static void begin(uint32_t slot);
static void received(uint32_t slot, const struct io_uring_cqe *cqe);
static void sent(uint32_t slot, const struct io_uring_cqe *cqe);

static void accept_on(void)
{
    struct io_uring_sqe *sqe = prepare(ACCEPT, 0);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

static void accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        begin(cqe->res);
    } else if (cqe->res != -ECONNABORTED && cqe->res != -EINTR) {
        errno = -cqe->res;
        floor_die("accept");
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        accept_on();
}

static void close_slot(uint32_t slot)
{
    struct io_uring_sqe *sqe = prepare(CLOSE, slot);
    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = slot + 1;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
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

_Noreturn static void serve(const char *address)
{
    listener = floor_listen(address, 0);
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

#endif
