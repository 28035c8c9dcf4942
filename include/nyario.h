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
 * it back. Suspends the fiber only while another name of a host is looked up.
 *
 * Returns the descriptor, or -EINVAL for NULL or text that is no address, -ENAMETOOLONG, -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, -ENOMEM; for a name also -ECANCELED, -ETIMEDOUT, and NYARIO_EAI_NONAME and
 * the other NYARIO_EAI_*. Since 0.1.
 */
NYARIO_EXTERN int nyario_listen(const char *address);

/**
 * Like nyario_listen, but the address can be shared: each thread opens a socket of its own there, and the kernel spreads
 * the connections over them (SO_REUSEPORT). Who opens the first with port 0 has to tell the others which port it got.
 * A unix socket cannot be shared. Suspends the fiber as nyario_listen does.
 *
 * Returns as nyario_listen, and -EOPNOTSUPP for a path; -EADDRINUSE where somebody listens who does not share. Since 0.1.
 */
NYARIO_EXTERN int nyario_listen_shared(const char *address);

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
 * Runs the calling thread's loop until nyario_stop, or until no server is registered and every fiber has ended. At
 * the end it closes its servers, cancels the fibers that remain and waits for them to return, and closes their
 * connections. It may be called again. Blocks the thread.
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

/**
 * Ends the calling thread's loop gently: at once it closes its servers and the connections that have no fiber; then its
 * fibers have up to `grace` nanoseconds to come to their ends, after which it ends as with nyario_stop. Of several such
 * calls the grace that ends first counts. May be called from a signal handler, on the loop's thread. Does not suspend.
 *
 * Returns 0, or -EINVAL for a negative grace, -ESRCH when the thread has no loop. Since 0.1.
 */
NYARIO_EXTERN int nyario_drain(int64_t grace);

/* ---- Connections ----------------------------------------------------------------------------- */

/**
 * Opens a connection to `address` (see nyario_listen; there is no `*` to connect to). A host that goes by a name is
 * looked up as nyario_getaddrinfo does, and its addresses are tried in turn until one answers. The descriptor is
 * close-on-exec and non-blocking; nyario_close ends it, and once nyario_read has been called on it, only nyario
 * must read it. Suspends the fiber.
 *
 * Returns the descriptor, or -EINVAL, -ENAMETOOLONG, -ECONNREFUSED, -ENOENT, -ENETUNREACH, -EHOSTUNREACH,
 * -ETIMEDOUT, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, and for a name NYARIO_EAI_NONAME and the other NYARIO_EAI_*. Since
 * 0.1.
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

/* ---- Threads --------------------------------------------------------------------------------- */

/**
 * Names the loop of a thread of this process, and never another of it; above 0.
 */
typedef int64_t nyario_loop_id;

/**
 * Prepares the loop of one thread; `index` is the thread's number. Returns 0, or a negative errno.
 */
typedef int (*nyario_init)(unsigned int index, void *arg);

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

/**
 * The calling thread's loop, for other threads that post to it. Does not suspend.
 *
 * Returns its name, or -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EPERM when the loop cannot be made. Since 0.1.
 */
NYARIO_EXTERN nyario_loop_id nyario_loop_self(void);

/**
 * Has the loop `target` run `entry(arg)` on a new fiber, which nobody joins and whose result is dropped. May be called
 * on any thread, but not in a signal handler. What one thread posts begins in the order in which it was posted. Does not
 * suspend.
 *
 * A loop that sleeps is woken. One that does not run begins `entry` when it next does, and one that is told to end
 * begins it before it does, though whatever would wait is refused then; a thread that ends without running its loop
 * again never begins it. A loop ends when it has neither server nor fiber, whoever may want to post to it: a fiber that
 * sleeps keeps it.
 *
 * A connection that is to be served by another loop is best handed over before it is read: dup(2) it, post the
 * duplicate, and close the original.
 *
 * Returns 0, or -EINVAL for a NULL entry, -ESRCH when there is no such loop any more. Since 0.1.
 */
NYARIO_EXTERN int nyario_post(nyario_loop_id target, nyario_entry entry, void *arg);

/**
 * Runs `n` loops, each on a thread of its own, until all of them have ended; 0 stands for as many as there are processors
 * that the process may use. If `pin` is not 0, each thread stays on one of these. On each thread `init(index, arg)` is
 * called before its loop runs, off a fiber, to register servers (see nyario_listen_shared) and spawn fibers. Blocks the
 * thread.
 *
 * A loop may end by itself, as in nyario_loop, or by nyario_stop on its thread, and the others go on;
 * nyario_stop_threads and nyario_drain_threads end them all. When `init` fails, or a thread cannot begin, all the others
 * are stopped. The threads inherit the signal mask of the caller.
 *
 * Returns 0, or the first error: of `init`, or -EAGAIN, -ENOMEM, -EMFILE, -ENFILE, -EPERM, -EINVAL; -EINVAL for a NULL
 * init, -EDEADLK on a fiber, -EBUSY while another such call goes on. Since 0.1.
 */
NYARIO_EXTERN int nyario_threads(unsigned int n, int pin, nyario_init init, void *arg);

/**
 * Ends all loops of the nyario_threads that runs, as nyario_stop does each. May be called on any thread and in a signal
 * handler. Does not suspend.
 *
 * Returns 0, or -ESRCH when there is none. Since 0.1.
 */
NYARIO_EXTERN int nyario_stop_threads(void);

/**
 * Ends all loops of the nyario_threads that runs, as nyario_drain does each. May be called on any thread and in a signal
 * handler. Does not suspend.
 *
 * Returns 0, or -EINVAL for a negative grace, -ESRCH when there is none. Since 0.1.
 */
NYARIO_EXTERN int nyario_drain_threads(int64_t grace);

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
