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

/**
 * nyario_register: start the handler as soon as a connection is accepted, for protocols in which the server speaks
 * first. Without it a handler starts when the first byte arrives, and until then a connection costs no fiber.
 */
#define NYARIO_EAGER 1

/**
 * nyario_spawn_options: nobody will join the fiber; what it returns is dropped.
 */
#define NYARIO_DETACHED 1

/**
 * Serves one connection, on a fiber of its own. When it returns, the connection is closed, unless it was closed
 * before.
 */
typedef void (*nyario_handler)(int fd, void *arg);

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
 * Names a timer of one loop, and never another of that loop; above 0.
 */
typedef int64_t nyario_timer;

/**
 * What a timer calls.
 */
typedef void (*nyario_callback)(void *arg);

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

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
 * Opens a connection to `address` (see nyario_listen; there is no `*` to connect to). The descriptor is
 * close-on-exec and non-blocking; nyario_close ends it, and once nyario_read has been called on it, only nyario
 * must read it. Suspends the fiber.
 *
 * Returns the descriptor, or -EINVAL, -ENAMETOOLONG, -ECONNREFUSED, -ENOENT, -ENETUNREACH, -EHOSTUNREACH,
 * -ETIMEDOUT, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED. Since 0.1.
 */
NYARIO_EXTERN int nyario_connect(const char *address);

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

/**
 * The name of an error, such as "ECONNRESET"; its sign does not matter. The text is constant and never NULL. Does not
 * suspend. Since 0.1.
 */
NYARIO_EXTERN const char *nyario_err_name(int error);

/**
 * What an error says, in words; its sign does not matter. The text is constant and never NULL. Does not suspend.
 * Since 0.1.
 */
NYARIO_EXTERN const char *nyario_strerror(int error);

/**
 * The version of the library that runs, as `major << 16 | minor << 8 | patch`: to be compared with
 * NYARIO_VERSION_HEX, the version that was compiled against. Does not suspend. Since 0.1.
 */
NYARIO_EXTERN unsigned int nyario_version(void);

/**
 * The version of the library that runs, as text. It is constant. Does not suspend. Since 0.1.
 */
NYARIO_EXTERN const char *nyario_version_string(void);

#ifdef __cplusplus
} /* extern "C" */
#endif  /* __cplusplus */

#endif  /* NYARIO_H */
