/*
 * nyario: blocking-style code at event-loop speed.
 *
 *   static void echo(int fd, void *arg) {
 *       char buf[4096];
 *       ssize_t n;
 *       while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
 *           nyario_write(fd, buf, n);
 *   }
 *   int main(void) {
 *       nyario_register(nyario_listen("127.0.0.1:7777"), echo, NULL, 0);
 *       return nyario_loop();
 *   }
 *
 * Every function answers with a result >= 0 or with a negative errno; errno itself is not touched. On a fiber, a
 * call that has to wait suspends that fiber and lets the others run; off a fiber it blocks the thread. Each thread
 * has a loop of its own, made on first use; descriptors and fibers belong to the loop that they were used with.
 *
 * Generated from nyario-capi by `make header`: change the comments there.
 */

#ifndef NYARIO_H
#define NYARIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/types.h>

struct addrinfo;
struct sockaddr;

#define NYARIO_VERSION_MAJOR 0
#define NYARIO_VERSION_MINOR 1
#define NYARIO_VERSION_PATCH 0
#define NYARIO_VERSION_HEX \
    (NYARIO_VERSION_MAJOR << 16 | NYARIO_VERSION_MINOR << 8 | NYARIO_VERSION_PATCH)

#if defined(__GNUC__)
#define NYARIO_EXTERN extern __attribute__((visibility("default")))
#else
#define NYARIO_EXTERN extern
#endif

struct msghdr;
struct iovec;
struct pollfd;

#define NYARIO_MUTEX_INIT {{0}}
#define NYARIO_RWLOCK_INIT {{0}}
#define NYARIO_COND_INIT {{0}}
#define NYARIO_GROUP_INIT {{0}}
#define NYARIO_SEMAPHORE_INIT {{0}}

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/* ---- Servers and the loop -------------------------------------------------------------------- */

/**
 * nyario_register: start the handler as soon as a connection is accepted, for protocols in which the server speaks
 * first. Without it a handler starts when the first byte arrives, and until then a connection costs no fiber.
 */
#define NYARIO_EAGER 1

/**
 * Serves one connection, on a fiber of its own. When it returns, the connection is closed, unless it was closed
 * before.
 */
typedef void (*nyario_handler)(int fd, void *arg);

/**
 * Opens a listening socket.
 *
 * `address` is `host:port` (an IPv4 address, an IPv6 one in brackets, `localhost`, or `*` for every address of the
 * machine; port 0 lets the kernel choose), or the path of a unix socket, which has a `/` or no `:` in it. A path
 * that a dead server left behind is taken over. The socket is close-on-exec; nyario_register or nyario_close takes
 * it back. Does not suspend.
 *
 * Returns the descriptor, or -EINVAL for NULL or text that is no address, -ENAMETOOLONG, -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, -ENOMEM. Since 0.1.
 */
NYARIO_EXTERN int nyario_listen(const char *address);

/**
 * Registers a listening socket with the calling thread's loop: from now on `handler(fd, arg)` serves each of its
 * connections, on a fiber of its own. `flags` is 0 or NYARIO_EAGER. The socket becomes the loop's: it is made
 * non-blocking, and closed when the loop ends. `arg` must stay valid until then. Does not suspend.
 *
 * Returns 0, or -EINVAL for a NULL handler, unknown flags, or a socket that does not listen or is registered
 * already, -ENOTSOCK, -EBADF. Since 0.1.
 */
NYARIO_EXTERN int nyario_register(int server, nyario_handler handler, void *arg, unsigned int flags);

/**
 * Runs the calling thread's loop until nyario_stop, or until no server is registered and every fiber and every timer has
 * ended. At the end it closes its servers, ends its timers, cancels the fibers that remain and waits for them to return,
 * and closes their connections. It may be called again. Blocks the thread.
 *
 * Returns 0, or -EDEADLK on a fiber, -EINVAL when NYARIO_BACKEND names no backend, -EMFILE, -ENFILE, -ENOMEM, -EPERM
 * when the loop cannot be made. Since 0.1.
 */
NYARIO_EXTERN int nyario_loop(void);

/**
 * Ends the calling thread's loop soon; see nyario_loop. May be called from a signal handler, on the loop's thread.
 * Does not suspend.
 *
 * Returns 0, or -ESRCH when the thread has no loop. Since 0.1.
 */
NYARIO_EXTERN int nyario_stop(void);

/* ---- Embedding in a foreign loop ------------------------------------------------------------- */

/**
 * Tells a foreign loop that nyario has something to do; see nyario_wakeup.
 */
typedef void (*nyario_alarm)(void *data);

/**
 * A descriptor for a foreign loop (poll(2), libev, libuv) to watch in nyario's stead: it polls as readable when
 * nyario_turn has something to do. To be watched and nothing else: it stays the calling thread's loop's, and ends with
 * it. A foreign loop goes round like this:
 *
 *     timeout = nyario_backend_timeout();
 *     (wait until the descriptor is readable, for up to `timeout` nanoseconds)
 *     nyario_turn(0);
 *
 * Does not suspend.
 *
 * Returns the descriptor, or -EMFILE, -ENFILE, -ENOMEM, or as nyario_loop when the loop cannot be made. Since 0.1.
 */
NYARIO_EXTERN int nyario_backend_fd(void);

/**
 * How long a foreign loop may wait for the descriptor before it calls nyario_turn: until the next timer or deadline,
 * or until the loop's own housekeeping is due. To be asked right before every wait, as whatever the thread has done
 * since the last turn (nyario_spawn, for one) may have left something to do at once. Does not suspend.
 *
 * Returns nanoseconds, 0 when there is something to do now, -1 when there is no limit; or -EDEADLK on a fiber. Since
 * 0.1.
 */
NYARIO_EXTERN int64_t nyario_backend_timeout(void);

/**
 * Runs whatever is ready on the calling thread's loop. When nothing is, it waits for up to `timeout` nanoseconds, and
 * with a negative one as long as it takes, and then runs what has become ready. It comes back after a bounded number
 * of rounds even if there is more to do: nyario_backend_timeout says so. Blocks the thread for the time-out at most.
 *
 * After nyario_stop the next turn ends the loop as nyario_loop does: it closes the servers, cancels the fibers, waits for
 * them to return, and closes their connections; that may block. Without nyario_stop nothing is closed when the last
 * fiber ends. The loop can be used again in both cases.
 *
 * Returns 1 while there are servers, fibers or timers, 0 when there are none (any more), or -EDEADLK on a fiber, or as
 * nyario_loop when the loop cannot be made. Since 0.1.
 */
NYARIO_EXTERN int nyario_turn(int64_t timeout);

/**
 * Sets what is called when the calling thread's loop is woken between two turns: by another thread, or by
 * nyario_stop. `alarm(data)` should make the foreign loop call nyario_turn soon (ev_async_send, uv_async_send, a byte
 * into a pipe). It is called once for each time that a turn or nyario_backend_timeout has found nothing to do, on the
 * thread that wakes, and in the signal handler if that is one which calls nyario_stop: so it must be async-signal-safe,
 * and must not call nyario. Without one, or with NULL, the descriptor of nyario_backend_fd becomes readable instead.
 * What is set must stay valid as long as anybody can wake the loop, even when something else has been set since.
 * Does not suspend.
 *
 * Returns 0, or as nyario_loop when the loop cannot be made. Since 0.1.
 */
NYARIO_EXTERN int nyario_wakeup(nyario_alarm alarm, void *data);

/* ---- Connections ----------------------------------------------------------------------------- */

/**
 * Opens a connection to `address` (see nyario_listen; there is no `*` to connect to). The descriptor is
 * close-on-exec and non-blocking; nyario_close ends it, and once nyario_read has been called on it, only nyario
 * must read it. Suspends the fiber.
 *
 * Returns the descriptor, or -EINVAL, -ENAMETOOLONG, -ECONNREFUSED, -ENOENT, -ENETUNREACH, -EHOSTUNREACH,
 * -ETIMEDOUT, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED. Since 0.1.
 */
NYARIO_EXTERN int nyario_dial(const char *address);

/**
 * Reads up to `len` bytes into `buf` from a socket, pipe, terminal or file: at least one unless the end is reached
 * or `len` is 0. The buffer is borrowed until the call returns. Suspends the fiber until there is something.
 *
 * Returns the number of bytes, 0 at the end, or -EBADF (also when the descriptor is closed meanwhile), -EINVAL,
 * -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of read(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_read(int fd, void *buf, size_t len);

/**
 * Writes all of `len` bytes, like a blocking descriptor would. The buffer is borrowed until the call returns. Raises
 * no SIGPIPE on sockets. Suspends the fiber when the descriptor cannot take everything at once.
 *
 * Returns `len`; fewer when it failed or was cancelled after a part was written (the next call tells why); or -EPIPE,
 * -EBADF (also when the descriptor is closed meanwhile), -EINVAL, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's
 * deadline, or another error of write(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_write(int fd, const void *buf, size_t len);

/**
 * Closes a descriptor. Every fiber that waits on it is woken with -EBADF, and the number becomes free when the last
 * of them has let go; until then the call suspends.
 *
 * Returns 0, or -EBADF, -EIO. Since 0.1.
 */
NYARIO_EXTERN int nyario_close(int fd);

/**
 * Writes the address that a socket is bound to into `buf`, in the form that nyario_listen takes and with a NUL
 * behind it: how to learn the port when the kernel chose it. Does not suspend.
 *
 * Returns the length without the NUL, or -EINVAL for NULL, -ENOSPC when `size` bytes do not hold it, -EBADF,
 * -ENOTSOCK, -EAFNOSUPPORT. Since 0.1.
 */
NYARIO_EXTERN int nyario_address(int fd, char *buf, size_t size);

/* ---- Sockets --------------------------------------------------------------------------------- */

/**
 * Accepts a connection from a listening socket that is not registered. Its peer's address goes to `addr`, which has
 * room for `*len` bytes (a socklen_t), and its length to `*len`; both may be NULL. The descriptor is close-on-exec;
 * nyario_close ends it, and once nyario_read has been called on it, only nyario must read it. Suspends the fiber.
 *
 * Returns the descriptor, or -EBADF (also when the descriptor is closed meanwhile), -ENOTSOCK, -EINVAL for a socket that
 * does not listen, -ECONNABORTED, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, -ETIMEDOUT. Since 0.1.
 */
NYARIO_EXTERN int nyario_accept(int server, struct sockaddr *addr, uint32_t *len);

/**
 * Connects a socket to an address in the kernel's form; nyario_dial does it by text. The address is borrowed until the
 * call returns. Suspends the fiber until the peer has accepted or refused.
 *
 * Returns 0, or -EINVAL, -EBADF (also when the descriptor is closed meanwhile), -ENOTSOCK, -ECONNREFUSED, -EISCONN,
 * -EALREADY, -ENOENT, -ENETUNREACH, -EHOSTUNREACH, -EAFNOSUPPORT, -ETIMEDOUT, -ECANCELED. Since 0.1.
 */
NYARIO_EXTERN int nyario_connect(int fd, const struct sockaddr *addr, uint32_t len);

/**
 * Receives once from a socket: a part of a stream, or one message, of which what does not fit is lost. `flags` are
 * those of recv(2). With MSG_DONTWAIT it does not suspend; with MSG_WAITALL, on a stream, it goes on until the buffer
 * is full, the end or an error (MSG_PEEK beside it waits for the first byte only). The buffer is borrowed until the call
 * returns. Suspends the fiber until there is something.
 *
 * Returns the number of bytes, 0 at the end of a stream, or -EAGAIN under MSG_DONTWAIT, -ENOTSOCK, -EBADF (also when
 * the descriptor is closed meanwhile), -EINVAL, -ENOTCONN, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's
 * deadline, or another error of recv(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_recv(int fd, void *buf, size_t len, int flags);

/**
 * Sends all of `len` bytes on a socket, like a blocking one would: on a stream, or as one message. `flags` are those of
 * send(2); with MSG_DONTWAIT it does not suspend and sends what finds room. The buffer is borrowed until the call
 * returns. Raises no SIGPIPE. Suspends the fiber when the socket cannot take everything at once.
 *
 * Returns `len`; fewer when it failed or was cancelled after a part was sent (the next call tells why), or under
 * MSG_DONTWAIT; or -EAGAIN under MSG_DONTWAIT, -ENOTSOCK, -EPIPE, -EMSGSIZE, -EBADF (also when the descriptor is closed
 * meanwhile), -EINVAL, -ENOTCONN, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of
 * send(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_send(int fd, const void *buf, size_t len, int flags);

/**
 * Like nyario_recv, and tells who sent it: the sender's address goes to `addr`, which has room for `*addr_len` bytes (a
 * socklen_t), and its length to `*addr_len` (0 on a connected stream). `addr` may be NULL. Suspends the fiber.
 *
 * Returns what nyario_recv does, and -EINVAL for an `addr` without its length. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, uint32_t *addr_len);

/**
 * Like nyario_send, to an address in the kernel's form, which is borrowed until the call returns; NULL for the peer
 * that the socket is connected to. Suspends the fiber when there is no room, also for as long as the inbox of a unix
 * datagram socket is full.
 *
 * Returns what nyario_send does, and -EDESTADDRREQ, -ENETUNREACH, -EHOSTUNREACH, -ENOENT, -ECONNREFUSED, -EACCES,
 * -EISCONN. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, uint32_t addr_len);

/**
 * Like nyario_recv, into several buffers, with the sender's address and control data, as recvmsg(2) fills them in.
 * Descriptors that come with a message are close-on-exec. The message and what it leads to are borrowed until the
 * call returns. Suspends the fiber until there is something.
 *
 * Returns what nyario_recv does, and -EINVAL for NULL, -EMSGSIZE for more than 1024 buffers. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_recvmsg(int fd, struct msghdr *msg, int flags);

/**
 * Like nyario_send, from several buffers, to the address and with the control data that the message names; the control
 * data goes with the first byte. The message and what it leads to are borrowed until the call returns. Suspends the
 * fiber like nyario_sendto.
 *
 * Returns what nyario_sendto does, and -EINVAL for NULL, -EMSGSIZE for more than 1024 buffers. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_sendmsg(int fd, const struct msghdr *msg, int flags);

/**
 * Ends one direction of a connection, or both: `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Fibers that wait on it see what
 * comes of that: the end, or -EPIPE. Does not suspend.
 *
 * Returns 0, or -EBADF, -ENOTSOCK, -ENOTCONN, -EINVAL. Since 0.1.
 */
NYARIO_EXTERN int nyario_shutdown(int fd, int how);

/* ---- Several buffers at once ----------------------------------------------------------------- */

/**
 * Like nyario_read, into several buffers, each of which is filled before the next; at most 1024. They are borrowed
 * until the call returns. Suspends the fiber until there is something.
 *
 * Returns the number of bytes, 0 at the end, or -EINVAL for NULL or another number of buffers, and what nyario_read
 * does. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_readv(int fd, const struct iovec *iov, int count);

/**
 * Like nyario_write, from several buffers, at most 1024: writes all of them. They are borrowed until the call returns.
 * Suspends the fiber when the descriptor cannot take everything at once.
 *
 * Returns the number of bytes in all of them; fewer when it failed or was cancelled after a part was written (the next
 * call tells why); or -EINVAL for NULL or another number of buffers, and what nyario_write does. Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_writev(int fd, const struct iovec *iov, int count);

/* ---- Waiting for several descriptors --------------------------------------------------------- */

/**
 * Waits until at least one of `count` descriptors has something to tell, and fills in their revents, as poll(2) does:
 * negative descriptors are passed over, and one that is not open is told as POLLNVAL. `timeout` is in nanoseconds;
 * negative waits for ever. The array is borrowed until the call returns. Suspends the fiber; with no descriptors it is a
 * sleep.
 *
 * Returns how many have something to tell, 0 when the time is up, or -EINVAL for NULL or more descriptors than the process
 * may have, -EBADF when one of them is closed meanwhile, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since
 * 0.1.
 */
NYARIO_EXTERN int nyario_poll(struct pollfd *fds, size_t count, int64_t timeout);

/**
 * Waits until at least one of the descriptors below `count` in the sets is readable, writable or exceptional, and
 * leaves only those in the sets, as select(2) does; `count` may be above FD_SETSIZE if the sets are as large. Any set may
 * be NULL. `timeout` is in nanoseconds; negative waits for ever. The sets are borrowed until the call returns, and are
 * left alone when it fails. Suspends the fiber.
 *
 * Returns how many places are left in the sets, 0 when the time is up, or -EBADF for a descriptor that is not open or is
 * closed meanwhile, -EINVAL for a negative `count`, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
 */
NYARIO_EXTERN int nyario_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, int64_t timeout);

/* ---- Names ----------------------------------------------------------------------------------- */

/**
 * Invalid flags for a look-up; like all errors of this kind it is what EAI_BADFLAGS is to getaddrinfo(3).
 */
#define NYARIO_EAI_BADFLAGS -3001

/**
 * No such host or service.
 */
#define NYARIO_EAI_NONAME -3002

/**
 * No answer from the name servers for now.
 */
#define NYARIO_EAI_AGAIN -3003

/**
 * The name servers failed.
 */
#define NYARIO_EAI_FAIL -3004

/**
 * The host has no address.
 */
#define NYARIO_EAI_NODATA -3005

/**
 * No addresses of that family.
 */
#define NYARIO_EAI_FAMILY -3006

/**
 * No such type of socket.
 */
#define NYARIO_EAI_SOCKTYPE -3007

/**
 * No such service for that type of socket.
 */
#define NYARIO_EAI_SERVICE -3008

/**
 * The host has no address of that family.
 */
#define NYARIO_EAI_ADDRFAMILY -3009

/**
 * The name does not fit.
 */
#define NYARIO_EAI_OVERFLOW -3012

/**
 * Looks up a host, a service or both, as getaddrinfo(3) does: `node` and `service` are names or numbers, of which one may
 * be NULL; `hints` may be NULL, which asks for anything. The list that is stored in `*found` is the caller's, who frees it
 * with freeaddrinfo(3). Suspends the fiber while a thread of nyario_blocking's pool asks the resolver; what is numeric is
 * answered at once. A fiber that is cancelled or meets its deadline goes on at once.
 *
 * Returns 0, or an error, with `*found` untouched: NYARIO_EAI_NONAME and the other NYARIO_EAI_* above, -EINVAL when
 * `found` or both names are NULL, -ECANCELED, -ETIMEDOUT, -EAGAIN, -ENOMEM, or the system's error. Since 0.1.
 */
NYARIO_EXTERN int nyario_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found);

/**
 * Looks up the names of an address, as getnameinfo(3) does with the same flags (NI_*): writes the host's into `host` and
 * the service's into `service`, each with a NUL behind it. One of them may be NULL or have no room, and is not looked up
 * then. Suspends the fiber like nyario_getaddrinfo, unless numbers are all that is asked for.
 *
 * Returns 0, or -EINVAL when `address` or both buffers are NULL, NYARIO_EAI_FAMILY for an address of no family that has
 * names, NYARIO_EAI_OVERFLOW when a buffer is too small, and the rest as nyario_getaddrinfo. Since 0.1.
 */
NYARIO_EXTERN int nyario_getnameinfo(const struct sockaddr *address, unsigned int len, char *host, size_t host_size, char *service, size_t service_size, int flags);

/* ---- Fibers ---------------------------------------------------------------------------------- */

/**
 * nyario_spawn_options: nobody will join the fiber; what it returns is dropped.
 */
#define NYARIO_DETACHED 1

/**
 * Names a fiber of one loop, and never another of that loop; above 0.
 */
typedef int64_t nyario_fiber;

/**
 * What a fiber runs; what it returns is handed to nyario_join.
 */
typedef void *(*nyario_entry)(void *arg);

/**
 * How nyario_spawn_with spawns a fiber. What is zero is left at its default.
 */
typedef struct {
  /**
   * `sizeof (nyario_spawn_options)`.
   */
  size_t size;
  /**
   * What the fiber is called, or NULL; see nyario_set_name. It is copied.
   */
  const char *name;
  /**
   * How many bytes of stack it has, from 16 KiB to 64 MiB; rounded up to a power of two.
   */
  size_t stack_size;
  /**
   * NYARIO_DETACHED or 0.
   */
  uint64_t flags;
} nyario_spawn_options;

/**
 * Runs `entry(arg)` on a new fiber of the calling thread's loop, which starts it in its next round. A fiber has
 * 256 KiB of stack, of which only what it touches costs memory; one that overflows it ends the process with SIGSEGV,
 * after a line on standard error that names it. It must be given to nyario_join or nyario_detach once. Does not
 * suspend.
 *
 * Returns the fiber's name, or -EINVAL for a NULL entry, -EAGAIN when there are as many fibers as the loop allows,
 * -ENOMEM, -ECANCELED while the loop is ending. Since 0.1.
 */
NYARIO_EXTERN nyario_fiber nyario_spawn(nyario_entry entry, void *arg);

/**
 * Like nyario_spawn, as `options` say; NULL is all defaults. The struct is read before the call returns. Does not
 * suspend.
 *
 * Returns the fiber's name, or an error of nyario_spawn, or -EINVAL for unknown flags, a stack size out of bounds, or
 * options of a later version that this one does not know and that are not zero; and an error of nyario_set_name.
 * Since 0.1.
 */
NYARIO_EXTERN nyario_fiber nyario_spawn_with(const nyario_spawn_options *options, nyario_entry entry, void *arg);

/**
 * Calls a fiber of this loop by a name in what people read: nyario_dump, and the line about an overflow of its stack.
 * `name` is UTF-8 of up to 63 bytes without control characters, and is copied; NULL or an empty text takes the name
 * away. Several fibers may have the same. Does not suspend.
 *
 * Returns 0, or -ESRCH for a fiber that is unknown or has ended, -ENAMETOOLONG, -EINVAL for a text that is not as said.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_set_name(nyario_fiber fiber, const char *name);

/**
 * Writes what a fiber of this loop is called into `buf`, with a NUL behind it; an empty text if it is called nothing.
 * Does not suspend.
 *
 * Returns the length without the NUL, or -ESRCH for a fiber that is unknown or has ended, -EINVAL for a NULL `buf`,
 * -ENOSPC when `size` bytes do not hold it; 64 always do. Since 0.1.
 */
NYARIO_EXTERN int nyario_name(nyario_fiber fiber, char *buf, size_t size);

/**
 * Waits for a fiber of this loop to end and stores what it returned in `*result`, unless `result` is NULL. The name
 * is used up. Suspends the fiber; off a fiber it only takes the result of a fiber that has ended.
 *
 * Returns 0, or -ESRCH for a name that is unknown or used up, -EINVAL when the fiber is detached or somebody joins
 * it already, -EDEADLK for the calling fiber itself, or off a fiber when it has not ended; -ECANCELED and -ETIMEDOUT,
 * after which it can be joined again. Since 0.1.
 */
NYARIO_EXTERN int nyario_join(nyario_fiber fiber, void **result);

/**
 * Declares that nobody will join the fiber: what it returns is dropped. Does not suspend.
 *
 * Returns 0, or -ESRCH for a name that is unknown or used up, -EINVAL when the fiber is detached or being joined
 * already. Since 0.1.
 */
NYARIO_EXTERN int nyario_detach(nyario_fiber fiber);

/**
 * Makes the present suspension of a fiber of this loop fail with -ECANCELED, or its next one: when it does not wait
 * now, or when what it waits for is achieved before the cancel reaches it, which is then returned and not lost. Does
 * not suspend.
 *
 * Returns 0, or -ESRCH for a fiber that is unknown or has ended. Since 0.1.
 */
NYARIO_EXTERN int nyario_cancel(nyario_fiber fiber);

/**
 * The running fiber. Does not suspend.
 *
 * Returns its name, or 0 off a fiber. Since 0.1.
 */
NYARIO_EXTERN nyario_fiber nyario_self(void);

/**
 * Lets the other fibers that are ready run first. Suspends the fiber; off a fiber it does nothing.
 *
 * Returns 0, or -ECANCELED. Since 0.1.
 */
NYARIO_EXTERN int nyario_yield(void);

/**
 * Sets the running fiber's deadline, in nanoseconds of nyario_now's clock, 0 for none: whatever it waits for past
 * then fails with -ETIMEDOUT. Does not suspend.
 *
 * Returns the deadline before, 0 for none, or -EINVAL for a negative one, or off a fiber. Since 0.1.
 */
NYARIO_EXTERN int64_t nyario_deadline(int64_t when);

/* ---- Time ------------------------------------------------------------------------------------ */

/**
 * Names a timer of one loop, and never another of that loop; above 0.
 */
typedef int64_t nyario_timer;

/**
 * What a timer calls.
 */
typedef void (*nyario_callback)(void *arg);

/**
 * The monotonic clock. Does not suspend.
 *
 * Returns nanoseconds since an arbitrary point. Since 0.1.
 */
NYARIO_EXTERN int64_t nyario_now(void);

/**
 * Sleeps for at least so many nanoseconds. Suspends the fiber; off a fiber it blocks the thread.
 *
 * Returns 0, or -EINVAL for a negative time, -ECANCELED, -ETIMEDOUT when the fiber's deadline comes first. Since 0.1.
 */
NYARIO_EXTERN int nyario_sleep(int64_t nanoseconds);

/**
 * Calls `callback(arg)` once, in so many nanoseconds, on a fiber of its own, which may suspend like any other. A timer
 * that waits has no fiber and no stack, so there may be a million of them. It keeps nyario_loop running as a fiber
 * does; when the loop ends, it ends without a call. `arg` must stay valid until the call has returned, or the timer has
 * ended without one. Where the loop allows no more fibers, the call waits for its turn. May be called before
 * nyario_loop. Does not suspend.
 *
 * Returns the timer's name, or -EINVAL for a NULL callback or a negative time, -ECANCELED while the loop is ending.
 * Since 0.1.
 */
NYARIO_EXTERN nyario_timer nyario_after(int64_t nanoseconds, nyario_callback callback, void *arg);

/**
 * Like nyario_after, again and again: the k-th call is due k intervals of so many nanoseconds after now, however late
 * the one before it was. One call runs at a time: those that come due before it has returned are left out, and are not
 * made up for. nyario_timer_cancel ends it, or the end of the loop. Does not suspend.
 *
 * Returns the timer's name, or -EINVAL for a NULL callback or an interval that is not above 0, -ECANCELED while the
 * loop is ending. Since 0.1.
 */
NYARIO_EXTERN nyario_timer nyario_every(int64_t nanoseconds, nyario_callback callback, void *arg);

/**
 * Ends a timer of this loop: no call of it begins any more, even if it is due. One that has begun is a fiber like any
 * other, and goes on; a callback may end its own timer. Does not suspend.
 *
 * Returns 0, or -ESRCH for a timer that is unknown or has ended: also when its only call has begun. Since 0.1.
 */
NYARIO_EXTERN int nyario_timer_cancel(nyario_timer timer);

/* ---- Mutexes --------------------------------------------------------------------------------- */

/**
 * A lock that one fiber holds at a time: NYARIO_MUTEX_INIT, or all zeroes, is one that nobody holds. Fibers of one loop
 * share it, and nothing needs to be done when it is no longer used. A call that has to wait waits its turn: the lock is
 * handed to whoever has waited longest.
 */
typedef struct {
  uint64_t words[6];
} nyario_mutex;

/**
 * Takes the lock. Suspends the fiber until it has its turn.
 *
 * Returns 0, or -EINVAL for NULL, -EDEADLK when the caller holds it already, or off a fiber when a fiber does, -EPERM
 * when a fiber of another loop holds it; -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then it is not held.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_mutex_lock(nyario_mutex *mutex);

/**
 * Takes the lock if nobody holds it. Does not suspend.
 *
 * Returns 0, or -EBUSY when somebody holds it, the caller included, -EINVAL for NULL, -EPERM when a fiber of another
 * loop holds it. Since 0.1.
 */
NYARIO_EXTERN int nyario_mutex_try_lock(nyario_mutex *mutex);

/**
 * Hands the lock to whoever has waited longest, or frees it. Does not suspend.
 *
 * Returns 0, or -EPERM when the caller does not hold it, -EINVAL for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_mutex_unlock(nyario_mutex *mutex);

/* ---- Reader-writer locks --------------------------------------------------------------------- */

/**
 * A lock that any number of readers hold together, or one writer alone: NYARIO_RWLOCK_INIT, or all zeroes, is one that
 * nobody holds. Fibers of one loop share it, and nothing needs to be done when it is no longer used. They come in in
 * the order in which they asked, so a stream of readers does not keep a writer out.
 */
typedef struct {
  uint64_t words[8];
} nyario_rwlock;

/**
 * Takes the lock to read. Suspends the fiber while somebody writes, or waits in front. A fiber that reads already must
 * not: a writer in between would wait for it, and it for the writer.
 *
 * Returns 0, or -EINVAL for NULL, -EDEADLK when the caller writes, or off a fiber when it would have to wait, -EPERM
 * when fibers of another loop hold it; -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then it is not held.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_rwlock_read(nyario_rwlock *lock);

/**
 * Takes the lock to write. Suspends the fiber while somebody holds it, or waits in front.
 *
 * Returns as nyario_rwlock_read. Since 0.1.
 */
NYARIO_EXTERN int nyario_rwlock_write(nyario_rwlock *lock);

/**
 * Takes the lock to read if nobody writes or waits. Does not suspend.
 *
 * Returns 0, or -EBUSY when somebody does, -EINVAL for NULL, -EPERM when fibers of another loop hold it. Since 0.1.
 */
NYARIO_EXTERN int nyario_rwlock_try_read(nyario_rwlock *lock);

/**
 * Takes the lock to write if nobody holds it. Does not suspend.
 *
 * Returns 0, or -EBUSY when somebody does, -EINVAL for NULL, -EPERM when fibers of another loop hold it. Since 0.1.
 */
NYARIO_EXTERN int nyario_rwlock_try_write(nyario_rwlock *lock);

/**
 * Gives the lock back, read or written. Who reads is not written down: a fiber that does not, and gives it back all the
 * same, gives it back for another. Does not suspend.
 *
 * Returns 0, or -EPERM when another fiber writes, when nobody holds it, or when fibers of another loop do, -EINVAL for
 * NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_rwlock_unlock(nyario_rwlock *lock);

/* ---- Condition variables --------------------------------------------------------------------- */

/**
 * Where fibers wait for word that something under a mutex has changed: NYARIO_COND_INIT, or all zeroes, is one on which
 * nobody waits. Fibers of one loop share it, and nothing needs to be done when it is no longer used.
 */
typedef struct {
  uint64_t words[6];
} nyario_cond;

/**
 * Unlocks the mutex and waits for word, in one step, and locks the mutex again before it returns, even when it was
 * cancelled or its deadline has passed. The change may be undone by then: look again. Suspends the fiber.
 *
 * Returns 0, or -EINVAL for NULL, -EPERM when the caller does not hold the mutex, or fibers of another loop wait,
 * -EDEADLK off a fiber, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
 */
NYARIO_EXTERN int nyario_cond_wait(nyario_cond *cond, nyario_mutex *mutex);

/**
 * Gives word to the fiber that has waited longest, if any waits. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL, -EPERM when fibers of another loop wait. Since 0.1.
 */
NYARIO_EXTERN int nyario_cond_signal(nyario_cond *cond);

/**
 * Gives word to every fiber that waits. Does not suspend.
 *
 * Returns as nyario_cond_signal. Since 0.1.
 */
NYARIO_EXTERN int nyario_cond_broadcast(nyario_cond *cond);

/* ---- Wait groups ----------------------------------------------------------------------------- */

/**
 * Counts what is under way, and lets fibers wait until nothing is: NYARIO_GROUP_INIT, or all zeroes, counts nothing yet.
 * Fibers of one loop share it, and nothing needs to be done when it is no longer used.
 */
typedef struct {
  uint64_t words[6];
} nyario_group;

/**
 * So many more are under way. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL or a negative number, -EOVERFLOW, -EPERM when fibers of another loop use it.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_group_add(nyario_group *group, int64_t more);

/**
 * One is done; with the last, every fiber that waits goes on. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL or when nothing is under way, -EPERM when fibers of another loop use it. Since 0.1.
 */
NYARIO_EXTERN int nyario_group_done(nyario_group *group);

/**
 * Waits until nothing is under way. Suspends the fiber.
 *
 * Returns 0, or -EINVAL for NULL, -EDEADLK off a fiber while something is under way, -EPERM when fibers of another loop
 * use it, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
 */
NYARIO_EXTERN int nyario_group_wait(nyario_group *group);

/* ---- Semaphores ------------------------------------------------------------------------------ */

/**
 * A number of permits: NYARIO_SEMAPHORE_INIT, or all zeroes, is one without any. Fibers of any loop share it with
 * threads that run none, and nothing needs to be done when it is no longer used.
 */
typedef struct {
  uint64_t words[8];
} nyario_semaphore;

/**
 * Makes a semaphore with so many permits. Nobody may wait on it. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL or a negative number. Since 0.1.
 */
NYARIO_EXTERN int nyario_semaphore_init(nyario_semaphore *semaphore, int64_t permits);

/**
 * Takes a permit. Suspends the fiber until there is one; off a fiber it blocks the thread. Permits go to those that
 * wait in the order in which they came.
 *
 * Returns 0, or -EINVAL for NULL, -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then none is taken.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_semaphore_wait(nyario_semaphore *semaphore);

/**
 * Takes a permit if there is one. Does not suspend.
 *
 * Returns 0, or -EAGAIN when there is none, -EINVAL for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_semaphore_try_wait(nyario_semaphore *semaphore);

/**
 * Gives a permit to whoever has waited longest, or keeps it for the next that comes. From any thread, fiber or not; not
 * from a signal handler. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL, -EOVERFLOW when it has 2^63 - 1 already. Since 0.1.
 */
NYARIO_EXTERN int nyario_semaphore_post(nyario_semaphore *semaphore);

/* ---- Threads --------------------------------------------------------------------------------- */

/**
 * Runs `entry(arg)`, which may block, on a thread of a pool and stores what it returned in `*result`, unless `result`
 * is NULL. Suspends the fiber; off a fiber it simply calls `entry`.
 *
 * The pool belongs to the process. It has no thread before its first call, at most 64 then, which take no signals, and
 * gives up those that have had nothing to do for a while; calls that find all of them busy wait in the order in which
 * they came. Which thread it is, is not promised. `entry` is off a fiber there: nyario's functions block its thread, and
 * what it has opened there belongs to that thread's loop.
 *
 * A cancel or a deadline that comes before `entry` has begun takes the call back: `entry` never runs. Once it has begun
 * it cannot be stopped, and it may use `arg` to the last: the fiber then stays where it is until `entry` returns, its
 * result is delivered, and a cancel is for the fiber's next suspension. A loop that ends waits for it, too.
 *
 * Returns 0, or -EINVAL for a NULL entry; -ECANCELED and -ETIMEDOUT, both of which say that `entry` did not run; -EAGAIN
 * or -ENOMEM when there is no thread and none can be made. Since 0.1.
 */
NYARIO_EXTERN int nyario_blocking(nyario_entry entry, void *arg, void **result);

/* ---- Errors ---------------------------------------------------------------------------------- */

/**
 * The name of an error, such as "ECONNRESET"; its sign does not matter. Does not suspend.
 *
 * Returns the text, which is constant and never NULL. Since 0.1.
 */
NYARIO_EXTERN const char *nyario_err_name(int error);

/**
 * What an error says, in words; its sign does not matter. Does not suspend.
 *
 * Returns the text, which is constant and never NULL. Since 0.1.
 */
NYARIO_EXTERN const char *nyario_strerror(int error);

/* ---- Versions -------------------------------------------------------------------------------- */

/**
 * The version of the library that runs. Does not suspend.
 *
 * Returns `major << 16 | minor << 8 | patch`, to be compared with NYARIO_VERSION_HEX, the version that was compiled
 * against. Since 0.1.
 */
NYARIO_EXTERN unsigned int nyario_version(void);

/**
 * The version of the library that runs, as text. Does not suspend.
 *
 * Returns the text, which is constant and never NULL. Since 0.1.
 */
NYARIO_EXTERN const char *nyario_version_string(void);

#ifdef __cplusplus
} /* extern "C" */
#endif  /* __cplusplus */

#endif  /* NYARIO_H */
