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
struct iovec;
struct msghdr;
struct pollfd;
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

/* What an object of each type below begins as; see there. */
#define NYARIO_MUTEX_INIT {{0}}
#define NYARIO_RWLOCK_INIT {{0}}
#define NYARIO_COND_INIT {{0}}
#define NYARIO_GROUP_INIT {{0}}
#define NYARIO_SEMAPHORE_INIT {{0}}
#define NYARIO_CHANNEL_INIT(element_size, capacity) {{0, (element_size), (capacity)}}
#define NYARIO_UNBOUNDED ((size_t)-1)
#define NYARIO_CASE_SEND(channel, element) {(channel), (void *)(element), NYARIO_SEND, 0, {0}}
#define NYARIO_CASE_RECEIVE(channel, element) {(channel), (element), NYARIO_RECEIVE, 0, {0}}

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/* ---- Configuring the loop -------------------------------------------------------------------- */

/**
 * How nyario_configure makes a thread's loop. What is zero is left at its default.
 */
typedef struct {
  /**
   * `sizeof (nyario_options)`.
   */
  size_t size;
  /**
   * The backend to insist on: "uring", "epoll" or "kqueue". NULL takes the best that the kernel allows. The
   * environment variable NYARIO_BACKEND has the last word in both cases.
   */
  const char *backend;
  /**
   * How many bytes of stack those fibers have that are spawned without a size, handlers of connections among them: from
   * 16 KiB to 64 MiB, rounded up to a power of two. 256 KiB by default.
   */
  size_t stack_size;
  /**
   * How many fibers there may be at a time. Beyond it nyario_spawn answers -EAGAIN, and the handlers of connections
   * wait for their turn. Any number by default.
   */
  size_t fibers;
  /**
   * How many accepted connections there may be at a time. Beyond it the rest wait in the queues of their listeners.
   * Any number by default.
   */
  size_t connections;
} nyario_options;

/**
 * Makes the calling thread's loop as `options` say; NULL is all defaults. Without it, the first call that needs the
 * loop makes it. The struct is read before the call returns. Does not suspend.
 *
 * Returns 0, or -EBUSY when the thread has a loop already, -EINVAL for a backend that there is not, a stack size out of
 * bounds, or options of a later version that this one does not know and that are not zero; the kernel's reason when it
 * denies the backend insisted on, such as -EPERM or -ENOSYS; -EMFILE, -ENFILE, -ENOMEM. Since 0.1.
 */
NYARIO_EXTERN int nyario_configure(const nyario_options *options);

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

/**
 * Ends the calling thread's loop gently: at once it closes its servers and the connections that have no fiber, and
 * ends its timers; then its fibers have up to `grace` nanoseconds to come to their ends, after which it ends as with nyario_stop. Of several such
 * calls the grace that ends first counts. May be called from a signal handler, on the loop's thread. Does not suspend.
 *
 * Returns 0, or -EINVAL for a negative grace, -ESRCH when the thread has no loop. Since 0.1.
 */
NYARIO_EXTERN int nyario_drain(int64_t grace);

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
 * them to return, and closes their connections; that may block. After nyario_drain the turn does so in which the last
 * fiber ends, or the grace. Without either, nothing is closed when the last fiber ends. The loop can be used again.
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

/**
 * Writes the address of the peer that a socket is connected to into `buf`, in the form of nyario_address; it is empty for a
 * unix socket that has none, as most clients have. Does not suspend.
 *
 * Returns the length without the NUL, or -EINVAL for NULL, -ENOSPC when `size` bytes do not hold it, -EBADF,
 * -ENOTSOCK, -ENOTCONN, -EAFNOSUPPORT. Since 0.1.
 */
NYARIO_EXTERN int nyario_peer(int fd, char *buf, size_t size);

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

/* ---- Datagram sockets by address ------------------------------------------------------------- */

/**
 * Opens a datagram socket: UDP, or of unix for a path (addresses are as for nyario_listen). At `local` messages reach it;
 * with NULL the kernel chooses an address, and a unix socket has none, so that nobody can answer it. With a `remote` it is
 * connected: messages come from there alone, and go there with nyario_send or nyario_write; with NULL, nyario_sendto names
 * whom each is for. One of the two must be given, and both are of one family. A path that a dead socket left behind is taken
 * over. The descriptor is close-on-exec and non-blocking; nyario_close ends it. Does not suspend.
 *
 * Returns the descriptor, or -EINVAL for two NULLs or text that is no address, -ENAMETOOLONG, -EADDRINUSE, -EADDRNOTAVAIL,
 * -EACCES, -ENOENT and -ECONNREFUSED for a unix `remote` that is not there, -ENETUNREACH, -EMFILE, -ENFILE, -ENOMEM. Since
 * 0.1.
 */
NYARIO_EXTERN int nyario_datagram(const char *local, const char *remote);

/* ---- Two descriptors at once, each the other's peer ------------------------------------------ */

/**
 * Opens two sockets that are connected to each other and writes them to `ends`; the arguments are those of socketpair(2),
 * such as AF_UNIX, SOCK_STREAM and 0. They are close-on-exec, and nyario's like one that was dialled: nyario_close ends
 * each, and only nyario must read them. That spares what one of socketpair(2) costs each wait, a look whether its number is
 * still the same socket's. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL, -EAFNOSUPPORT, -EOPNOTSUPP, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -EMFILE, -ENFILE,
 * -ENOMEM. Since 0.1.
 */
NYARIO_EXTERN int nyario_socketpair(int domain, int kind, int protocol, int *ends);

/**
 * Opens a pipe and writes its ends to `ends`: what is written to the second is read from the first. They are close-on-exec
 * and otherwise as with nyario_socketpair; a child process that one is handed to finds it blocking. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL, -EMFILE, -ENFILE, -ENOMEM. Since 0.1.
 */
NYARIO_EXTERN int nyario_pipe(int *ends);

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

/* ---- Bytes that go from one descriptor to another without passing through the program's memory  */

/**
 * Sends `len` bytes of the file `from` on `to`, like a blocking descriptor would: from the place that `*offset` names, which
 * moves along, or with NULL from the file's own position, which then moves. `*offset` is borrowed until the call returns.
 * The file's bytes do not pass through the program's memory. Raises no SIGPIPE. Suspends the fiber when there is no room;
 * reading the file may block the thread while it waits for the disk.
 *
 * Returns how many bytes were sent: fewer than `len` at the end of the file, or when it failed or was cancelled after a part
 * was sent (the next call tells why); or -EINVAL for a negative offset or a `from` that is no file, -EPIPE, -EBADF (also
 * when `to` is closed meanwhile), -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of
 * sendfile(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_sendfile(int to, int from, int64_t *offset, size_t len);

/**
 * Moves up to `len` bytes from one descriptor to another, one of which is a pipe, as splice(2) does: at least one unless the
 * end is reached. A place for an offset may be given for a file that has one, and NULL stands for its own position; both
 * are borrowed until the call returns. `flags` are those of splice(2); with SPLICE_F_NONBLOCK it does not suspend. Raises
 * no SIGPIPE. Suspends the fiber until there is something to move, and room for it.
 *
 * Returns the number of bytes, 0 at the end, or -EAGAIN under SPLICE_F_NONBLOCK, -EINVAL when neither is a pipe, -ESPIPE for
 * an offset of a pipe, -EPIPE, -EBADF (also when one of them is closed meanwhile), -ECONNRESET, -ECANCELED, -ETIMEDOUT past
 * the fiber's deadline, or another error of splice(2). Since 0.1.
 */
NYARIO_EXTERN ssize_t nyario_splice(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t len, unsigned int flags);

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

/* ---- Descriptors that go from one process to another ----------------------------------------- */

/**
 * Sends the descriptor `passed` over the unix socket `fd`, with a byte of zero that it goes with. The peer gets a descriptor
 * of its own, of the same file; `passed` stays open here. Suspends the fiber when there is no room.
 *
 * Returns 0, or -EBADF when either is not open (also when `fd` is closed meanwhile), -ENOTSOCK, -EOPNOTSUPP for a socket of
 * another family, -EPIPE, -ECONNRESET, -ETOOMANYREFS, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
 */
NYARIO_EXTERN int nyario_send_fd(int fd, int passed);

/**
 * Receives a descriptor that comes over the unix socket `fd`, and the byte that it goes with. It is close-on-exec, and the
 * caller's to close. Suspends the fiber until there is something.
 *
 * Returns the descriptor, or -ENODATA at the end of the stream, -ENOMSG when the next byte came without a descriptor (it is
 * used up), -EMFILE when the process may have no more (the descriptor is lost), -EBADF (also when `fd` is closed
 * meanwhile), -ENOTSOCK, -EOPNOTSUPP, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
 */
NYARIO_EXTERN int nyario_recv_fd(int fd);

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
NYARIO_EXTERN int nyario_getnameinfo(const struct sockaddr *address, uint32_t len, char *host, size_t host_size, char *service, size_t service_size, int flags);

/* ---- Fibers ---------------------------------------------------------------------------------- */

/**
 * nyario_spawn_options: nobody will join the fiber; what it returns is dropped.
 */
#define NYARIO_DETACHED 1

/**
 * Stands for a fiber of one loop, and never for another of that loop; above 0.
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
 * Runs `entry(arg)` on a new fiber of the calling thread's loop, which runs it when its turn comes. A fiber has
 * 256 KiB of stack, of which only what it touches costs memory; one that overflows it ends the process with SIGSEGV,
 * after a line on standard error that names it. It must be given to nyario_join or nyario_detach once. Does not
 * suspend.
 *
 * Returns the fiber, or -EINVAL for a NULL entry, -EAGAIN when there are as many fibers as the loop allows,
 * -ENOMEM, -ECANCELED while the loop is ending. Since 0.1.
 */
NYARIO_EXTERN nyario_fiber nyario_spawn(nyario_entry entry, void *arg);

/**
 * Like nyario_spawn, as `options` say; NULL is all defaults. The struct is read before the call returns. Does not
 * suspend.
 *
 * Returns the fiber, or an error of nyario_spawn, or -EINVAL for unknown flags, a stack size out of bounds, or
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
 * Waits for a fiber of this loop to end and stores what it returned in `*result`, unless `result` is NULL. The number
 * is used up with that. Suspends the fiber that calls; off a fiber it only takes the result of a fiber that has ended.
 *
 * Returns 0, or -ESRCH for a fiber that is unknown or used up, -EINVAL when the fiber is detached or somebody joins
 * it already, -EDEADLK for the calling fiber itself, or off a fiber when it has not ended; -ECANCELED and -ETIMEDOUT,
 * after which it can be joined again. Since 0.1.
 */
NYARIO_EXTERN int nyario_join(nyario_fiber fiber, void **result);

/**
 * Declares that nobody will join the fiber: what it returns is dropped. Does not suspend.
 *
 * Returns 0, or -ESRCH for a fiber that is unknown or used up, -EINVAL when the fiber is detached or being joined
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
 * Returns it, or 0 off a fiber. Since 0.1.
 */
NYARIO_EXTERN nyario_fiber nyario_self(void);

/**
 * Lets the other fibers that are ready run first. Suspends the fiber; off a fiber it does nothing.
 *
 * Returns 0, or -ECANCELED. Since 0.1.
 */
NYARIO_EXTERN int nyario_yield(void);

/* ---- Deadlines ------------------------------------------------------------------------------- */

/**
 * Sets the running fiber's deadline, in nanoseconds of nyario_now's clock, 0 for none: whatever it waits for past
 * then fails with -ETIMEDOUT. Does not suspend.
 *
 * Returns the deadline before, 0 for none, or -EINVAL for a negative one, or off a fiber. Since 0.1.
 */
NYARIO_EXTERN int64_t nyario_deadline(int64_t when);

/**
 * Narrows the running fiber's deadline to so many nanoseconds from now, unless it is sooner already. What it returns is
 * for nyario_deadline to restore, so that scopes nest, and none outlives the one around it:
 *
 *     int64_t outer = nyario_within(1000000000);
 *     ...
 *     nyario_deadline(outer);
 *
 * Does not suspend.
 *
 * Returns the deadline before, 0 for none, or -EINVAL for a negative time, or off a fiber. Since 0.1.
 */
NYARIO_EXTERN int64_t nyario_within(int64_t nanoseconds);

/* ---- Time ------------------------------------------------------------------------------------ */

/**
 * Stands for a timer of one loop, and never for another of that loop; above 0.
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
 * that waits has no fiber and no stack, so there may be a million of them. It is never early; set by a fiber, it
 * counts from when the loop next looks at the clock, which is at the end of the turn at the latest. It keeps
 * nyario_loop running as a fiber does; when the loop ends, it ends without a call. `arg` must stay valid until the
 * call has returned, or the timer has ended without one. Where the loop allows no more fibers, the call waits for its
 * turn. May be called before nyario_loop. Does not suspend.
 *
 * Returns the timer, or -EINVAL for a NULL callback or a negative time, -ECANCELED while the loop is ending.
 * Since 0.1.
 */
NYARIO_EXTERN nyario_timer nyario_after(int64_t nanoseconds, nyario_callback callback, void *arg);

/**
 * Like nyario_after, again and again: the k-th call is due k intervals of so many nanoseconds after now, however late
 * the one before it was. One call runs at a time: those that come due before it has returned are left out, and are not
 * made up for. nyario_timer_cancel ends it, or the end of the loop. Does not suspend.
 *
 * Returns the timer, or -EINVAL for a NULL callback or an interval that is not above 0, -ECANCELED while the
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

/* ---- What is done when a fiber ends ---------------------------------------------------------- */

/**
 * Ends the running fiber with `result`, from any depth of its calls, as if its entry had returned that: what
 * nyario_cleanup_push was given is called, destructors of nyario_set's values too, a connection's handler has its
 * connection closed. What lies on the fiber's stack is left as it is, as with longjmp: no destructor of C++ is called
 * for it, and locks are not released. Suspends the fiber as what is called does, and does not return.
 *
 * Returns -EINVAL off a fiber, and then only. Since 0.1.
 */
NYARIO_EXTERN int nyario_exit(void *result);

/**
 * Has `callback(arg)` called when the running fiber ends, by returning or by nyario_exit; the last that was pushed comes
 * first. It is called on the fiber and may suspend; it may push others. The fiber's deadline, if it has one, is still in
 * force, as is a cancel that no call has been told of, and while the loop is ending whatever waits answers -ECANCELED:
 * so a callback that must wait lifts the deadline with `nyario_deadline(0)` first. Does not suspend.
 *
 * Returns 0, or -EINVAL for a NULL callback, or off a fiber. Since 0.1.
 */
NYARIO_EXTERN int nyario_cleanup_push(nyario_callback callback, void *arg);

/**
 * Takes back what the running fiber pushed last with nyario_cleanup_push, and calls it when `execute` is not 0. Suspends
 * if the callback does.
 *
 * Returns 0, or -EINVAL when nothing is left that was pushed, or off a fiber. Since 0.1.
 */
NYARIO_EXTERN int nyario_cleanup_pop(int execute);

/* ---- Values of a fiber's own ----------------------------------------------------------------- */

/**
 * Stands for a kind of value that each fiber has one of. It is the process's: any thread may use it. Above 0.
 */
typedef int nyario_key;

/**
 * What is called with a value when its fiber ends.
 */
typedef void (*nyario_destructor)(void *value);

/**
 * Creates a key, under which no fiber has a value yet. When a fiber ends that has set one which is not NULL,
 * `destructor(value)` is called on that fiber, after what nyario_cleanup_push was given, in no certain order; it may
 * suspend. It may be NULL. Does not suspend.
 *
 * Returns the key, or -EAGAIN when there are 1024. Since 0.1.
 */
NYARIO_EXTERN nyario_key nyario_key_create(nyario_destructor destructor);

/**
 * Ends a key. The values that fibers have set under it are forgotten, without a destructor. Does not suspend.
 *
 * Returns 0, or -EINVAL for a key that there is not. Since 0.1.
 */
NYARIO_EXTERN int nyario_key_delete(nyario_key key);

/**
 * The value that the running fiber has set under a key. Off a fiber, the one that the thread has. Does not suspend.
 *
 * Returns the value, or NULL when there is none, or no such key. Since 0.1.
 */
NYARIO_EXTERN void *nyario_get(nyario_key key);

/**
 * Sets the running fiber's value under a key; NULL takes it away. Off a fiber, the thread's own, for which the
 * destructor is called when the thread ends. Does not suspend.
 *
 * Returns 0, or -EINVAL for a key that there is not; off a fiber also an error of nyario_loop's. Since 0.1.
 */
NYARIO_EXTERN int nyario_set(nyario_key key, void *value);

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

/* ---- Channels -------------------------------------------------------------------------------- */

/**
 * Hands elements of a fixed size from one to another, in order: NYARIO_CHANNEL_INIT(element_size, capacity), or
 * nyario_channel_init. Elements are copied in and out. Up to `capacity` of them wait in the channel: with 0 every send
 * waits for its receiver, with NYARIO_UNBOUNDED none waits. All zeroes is a channel of signals, without capacity and with
 * elements of no size. Fibers of any loop share it with threads that run none; nyario_channel_destroy frees what it holds.
 */
typedef struct {
  uint64_t words[16];
} nyario_channel;

/**
 * Makes a channel for elements of `element_size` bytes, of which up to `capacity` wait in it. Nobody may use it yet. It
 * allocates nothing until it is sent to. Does not suspend.
 *
 * Returns 0, or -EINVAL for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_init(nyario_channel *channel, size_t element_size, size_t capacity);

/**
 * Sends a copy of `*element`. Suspends the fiber while the channel is full, or without capacity until the element is
 * received; off a fiber it blocks the thread. Whoever waits is served in order.
 *
 * Returns 0, or -EPIPE when the channel is closed, -EINVAL for NULL, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's
 * deadline: then it was not sent. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_send(nyario_channel *channel, const void *element);

/**
 * Receives an element into `*element`. Suspends the fiber while there is none; off a fiber it blocks the thread. Whoever
 * waits is served in order.
 *
 * Returns 0, or -EPIPE when the channel is closed and nothing is left in it, -EINVAL for NULL, -ECANCELED, -ETIMEDOUT
 * past the fiber's deadline: then nothing was taken. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_receive(nyario_channel *channel, void *element);

/**
 * Sends a copy of `*element` if the channel has room or somebody waits to receive. Does not suspend.
 *
 * Returns 0, or -EAGAIN when it would have to wait, -EPIPE when the channel is closed, -EINVAL for NULL, -ENOMEM.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_try_send(nyario_channel *channel, const void *element);

/**
 * Receives an element into `*element` if there is one or somebody waits to send. Does not suspend.
 *
 * Returns 0, or -EAGAIN when it would have to wait, -EPIPE when the channel is closed and nothing is left in it, -EINVAL
 * for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_try_receive(nyario_channel *channel, void *element);

/**
 * Closes the channel: nothing more is sent, what is in it can still be received, and whoever waits is told -EPIPE. Does
 * not suspend.
 *
 * Returns 0, or -EPIPE when it is closed already, -EINVAL for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_close(nyario_channel *channel);

/**
 * Closes the channel and frees what it holds: nobody may use it any more. A call that has sent or received touches it no
 * more, so whoever had the last element may do this. Does not suspend.
 *
 * Returns 0, or -EBUSY while somebody waits on it, which is then left as it was, -EINVAL for NULL. Since 0.1.
 */
NYARIO_EXTERN int nyario_channel_destroy(nyario_channel *channel);

/* ---- Several channels at once ---------------------------------------------------------------- */

/**
 * The kind of a nyario_case that sends `*element`.
 */
#define NYARIO_SEND 1

/**
 * The kind of a nyario_case that receives into `*element`.
 */
#define NYARIO_RECEIVE 2

/**
 * nyario_choose: answer -EAGAIN instead of waiting.
 */
#define NYARIO_NOWAIT 1

/**
 * One of the things that nyario_choose may do: NYARIO_CASE_SEND(channel, element) or
 * NYARIO_CASE_RECEIVE(channel, element). The same case may be chosen from again and again.
 */
typedef struct {
  /**
   * NULL stands for a case that never comes.
   */
  nyario_channel *channel;
  /**
   * Where the element comes from or goes to.
   */
  void *element;
  /**
   * NYARIO_SEND or NYARIO_RECEIVE.
   */
  int kind;
  /**
   * How it went, for the case that was chosen: 0, or -EPIPE when the channel is closed, -ENOMEM.
   */
  int result;
  uint64_t words[8];
} nyario_case;

/**
 * Does one of `count` things, whichever can be done first; of several that can be done at once, each is looked at first
 * in its turn. `flags` is 0 or NYARIO_NOWAIT. A closed channel makes its case one that can be done, with -EPIPE as its
 * result. Suspends the fiber until one can be done; off a fiber it blocks the thread.
 *
 * Returns the index of the case that was chosen, whose `result` says how it went; or -EAGAIN with NYARIO_NOWAIT when none
 * can be done, -EINVAL for NULL, more than 32767 cases, an unknown kind or unknown flags, -EDEADLK off a fiber when no case could ever come,
 * -ECANCELED, -ETIMEDOUT past the fiber's deadline: then nothing was done. Since 0.1.
 */
NYARIO_EXTERN int nyario_choose(nyario_case *cases, size_t count, unsigned int flags);

/* ---- Threads --------------------------------------------------------------------------------- */

/**
 * Stands for the loop of a thread of this process, and never for another of it; above 0.
 */
typedef int64_t nyario_loop_id;

/**
 * Prepares the loop of one thread; `index` is the thread's number. Returns 0, or a negative errno.
 */
typedef int (*nyario_thread_init)(unsigned int index, void *arg);

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
 * Returns it, or -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EPERM when the loop cannot be made. Since 0.1.
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
NYARIO_EXTERN int nyario_threads(unsigned int n, int pin, nyario_thread_init init, void *arg);

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

/* ---- Processes ------------------------------------------------------------------------------- */

/**
 * Waits for a child as waitpid(2) does, with the same `pid` and `options` (WNOHANG, WUNTRACED, WCONTINUED), and stores its
 * status in `*status`, unless that is NULL. Suspends the fiber; off a fiber it blocks the thread. A fiber that gives up
 * leaves the child to be waited for by others.
 *
 * When `pid` names no single child, or `options` ask for more than its end, a thread of nyario_blocking's pool does the
 * waiting. If the fiber gives up, that thread stays busy until some child that `pid` stands for has changed, or none is
 * left: giving up again and again can use the pool up. Better to go on waiting on a fiber of its own, and to have that
 * tell the others; or to wait for SIGCHLD with nyario_sigwait, and then look with WNOHANG.
 *
 * Returns the child's pid, 0 with WNOHANG when none has changed, or -ECHILD when there is no such child (any more),
 * -EINVAL for other options, -EMFILE, -ENFILE, -ENOMEM, -EAGAIN, -ECANCELED, -ETIMEDOUT. Since 0.1.
 */
NYARIO_EXTERN pid_t nyario_wait(pid_t pid, int *status, int options);

/* ---- Signals --------------------------------------------------------------------------------- */

/**
 * Waits for one of the signals in `set`, takes it, and fills in `*info`, a siginfo_t, unless that is NULL: like
 * sigwaitinfo(2). Suspends the fiber; off a fiber it blocks the thread.
 *
 * The signals must be blocked, or else they do what they do without nyario. The call blocks them in the calling thread, and
 * leaves them so; a program with more threads does that itself (pthread_sigmask(3)) before it makes those, as its threads
 * inherit the mask, and so do its children. Any number of fibers may wait for a signal; it goes to one of them. One that
 * comes while nobody waits is kept for the next call.
 *
 * Returns the signal's number, or -EINVAL for NULL or an empty set, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, -ETIMEDOUT.
 * Since 0.1.
 */
NYARIO_EXTERN int nyario_sigwait(const sigset_t *set, void *info);

/* ---- Seeing inside --------------------------------------------------------------------------- */

/**
 * What nyario_stats tells of a loop: counts since it was made, and how many there are now of what it holds.
 */
typedef struct {
  /**
   * `sizeof (nyario_statistics)`, set by the caller.
   */
  size_t size;
  /**
   * The backend at work: "uring", "epoll" or "kqueue". Constant.
   */
  const char *backend;
  /**
   * Turns taken.
   */
  uint64_t turns;
  /**
   * Looks at the kernel that were system calls: waits, and submissions.
   */
  uint64_t enters;
  /**
   * Operations that were over as soon as they were begun.
   */
  uint64_t at_once;
  /**
   * Operations that had to wait, or were queued for the kernel; sleeps, joins and whatever else a fiber waits for are
   * among them.
   */
  uint64_t waited;
  /**
   * Operations that are waiting now.
   */
  uint64_t waiting;
  /**
   * How often a fiber was resumed.
   */
  uint64_t switches;
  /**
   * Fibers that were ever begun, handlers of connections among them.
   */
  uint64_t spawned;
  /**
   * Fibers that have not ended.
   */
  uint64_t fibers;
  /**
   * Handlers of connections, and calls of timers, that wait because there are as many fibers as the loop allows.
   */
  uint64_t crowded;
  /**
   * Registered servers.
   */
  uint64_t servers;
  /**
   * Connections that servers have accepted.
   */
  uint64_t accepted;
  /**
   * Those of them that have not spoken yet and have no fiber.
   */
  uint64_t idle;
  /**
   * Connections that were dialled.
   */
  uint64_t clients;
  /**
   * Descriptors that the loop watches and did not open; registered servers are among them.
   */
  uint64_t adopted;
  /**
   * Armed timers and deadlines.
   */
  uint64_t timers;
  /**
   * Stacks that are mapped.
   */
  uint64_t stacks;
  /**
   * Those of them that wait for a fiber.
   */
  uint64_t stacks_free;
  /**
   * Provided buffers, which only the backend "uring" has.
   */
  uint64_t buffers;
  /**
   * Those of them that hold bytes which nobody has read yet.
   */
  uint64_t buffers_used;
  /**
   * What other threads have told the loop: what was posted, and the ends of what its fibers wait for.
   */
  uint64_t posts;
  /**
   * Times that the loop kept house.
   */
  uint64_t sweeps;
} nyario_statistics;

/**
 * Tells what the calling thread's loop has done and holds, in `*statistics`, whose `size` the caller has set. A later
 * version may tell more than a caller's struct has room for; what this version does not know of becomes 0. Does not
 * suspend.
 *
 * Returns 0, or -ESRCH when the thread has no loop, -EINVAL for NULL or a size that cannot be. Since 0.1.
 */
NYARIO_EXTERN int nyario_stats(nyario_statistics *statistics);

/**
 * Writes to `fd`, for people to read, what the calling thread's loop is busy with. A line for each fiber that has not
 * ended: its number, its name, and what it does; and a last one that counts the connections:
 *
 *     fiber 4294967296 "resolver": in offload for 120 ms
 *     fiber 4294967297: in recv on fd 7 for 2040 ms, deadline in 2960 ms
 *     fiber 4294967298: ready
 *     fiber 4294967299 "console": running
 *     connections: servers 1, accepted 60 (59 without a fiber), clients 0
 *
 * A fiber is in the call that it waits in, or in what it waits for: sleep, join, mutex, and so on. Times are taken from a
 * coarse clock, once a turn: they are about 10 ms off, and what one turn takes does not count. The lines may change
 * from version to version. Allocates, and does not suspend: a pipe that is full blocks the thread.
 *
 * Returns 0, or -ESRCH when the thread has no loop, -EBADF, or another error of write(2). Since 0.1.
 */
NYARIO_EXTERN int nyario_dump(int fd);

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
