# frozen_string_literal: true

# The documentation of what the extension defines. Nothing here is loaded: it is for YARD.

# Blocking-style code at event-loop speed: fibers over io_uring and epoll, by completion.
#
# Each thread has a loop of its own, made when it is first needed. What is registered and spawned belongs to the calling
# thread's loop and runs once that thread calls {Nyario.loop}. `NYARIO_BACKEND` (`uring` or `epoll`) picks the backend.
#
# Whatever waits, suspends the calling fiber and lets the others run. Outside a running loop it blocks the thread instead,
# without the GVL, so the same code works in both places. In a trap handler that runs on the loop's own fiber, waiting
# raises a RuntimeError.
module Nyario
  # @!method self.register(server, callable = nil, eager: false, &block)
  #   Serves a listening socket: each of its connections is handed to the handler on a fiber of its own, and is closed when
  #   the handler returns or raises. An exception is reported on $stderr with its backtrace and never stops the loop.
  #
  #   The handler gets its fiber when the connection's first byte arrives, so an idle connection costs a few hundred bytes.
  #   The server is closed when the loop ends; closing it before, on the loop's own thread, ends the accepting.
  #   @param server [TCPServer, UNIXServer, Socket, Integer] it listens; made non-blocking
  #   @param callable [#call] called with a {Connection}; or a block is given
  #   @param eager [Boolean] gives the handler its fiber at once, for protocols in which the server speaks first
  #   @return [Object] the server
  #   @raise [ArgumentError] without a handler, with two, or for a server that is registered already
  #   @raise [TypeError] for a handler that cannot be called, or something that has no descriptor
  #   @raise [SystemCallError] ENOTSOCK, EINVAL when it does not listen, EPROTOTYPE for a socket of messages, EMFILE
  #   @since 0.1.0

  # @!method self.loop
  #   Runs the calling thread's loop until {Nyario.stop}, or until no server is left and every task has ended. Then servers
  #   are closed, what still waits is refused (Errno::ECANCELED), and connections are closed. The GVL is released while
  #   there is nothing to do, and signals are handled at once: Ctrl-C raises Interrupt from here after the same orderly end.
  #   @return [nil]
  #   @raise [RuntimeError] when the thread's loop runs already
  #   @since 0.1.0

  # @!method self.stop
  #   Ends the loop of the calling thread, if it runs one, or else every loop of the process: a loop that has not begun ends
  #   as soon as it does. From any thread, fiber, and trap handler. Does not wait.
  #   @return [nil]
  #   @since 0.1.0

  # @!method self.spawn(&block)
  #   Runs the block on a fiber of its own, from the loop's next round on.
  #   @return [Task]
  #   @raise [SystemCallError] ECANCELED while the loop ends
  #   @since 0.1.0

  # @!method self.read(source, max = nil)
  #   Reads once. Bytes that an IO has buffered itself (by `gets`, say) are not seen.
  #   @param source [Connection, IO, Integer] a socket, pipe, terminal or file
  #   @param max [Integer, nil] at most so many bytes, above 0; 65536 if left out or more
  #   @return [String, nil] at least one byte, binary; nil at the end
  #   @raise [IOError] when it is closed, also meanwhile
  #   @raise [SystemCallError] ECONNRESET, EBADF, ECANCELED when the loop ends, and others of read(2)
  #   @since 0.1.0

  # @!method self.write(target, *strings)
  #   Writes all of each string. What is no String is converted by `to_s`. While a string is being written nobody can change
  #   it (RuntimeError). An exception that is raised in the fiber meanwhile goes on its way when the kernel has let go.
  #   @param target [Connection, IO, Integer]
  #   @return [Integer] how many bytes that was
  #   @raise [IOError] when it is closed, also meanwhile
  #   @raise [SystemCallError] EPIPE, ECONNRESET, ECANCELED when the loop ends, and others of write(2)
  #   @since 0.1.0

  # @!method self.sleep(seconds)
  #   @param seconds [Numeric] 0 or more; rounded up to nanoseconds
  #   @return [nil]
  #   @raise [ArgumentError] for a negative time
  #   @raise [SystemCallError] ECANCELED when the loop ends
  #   @since 0.1.0

  # @!method self.backend
  #   The backend of the calling thread's loop, which is made if there is none.
  #   @return [String] `"uring"` or `"epoll"`
  #   @raise [SystemCallError] EINVAL when NYARIO_BACKEND names none, and what the kernel says of one that it denies
  #   @since 0.1.0

  # A connection that a server accepted, as its handler gets it. It belongs to the loop of one thread; once that loop or
  # the handler has ended it is closed.
  class Connection
    # @!method read(max = nil)
    #   As {Nyario.read}.
    #   @return [String, nil]
    #   @since 0.1.0

    # @!method write(*strings)
    #   As {Nyario.write}.
    #   @return [Integer]
    #   @since 0.1.0

    # @!method close
    #   Closes it. Fibers that wait on it get an IOError. Closing twice does nothing.
    #   @return [nil]
    #   @since 0.1.0

    # @!method closed?
    #   @return [Boolean]
    #   @since 0.1.0

    # @!method fileno
    #   The number of its descriptor. Whoever reads from that past nyario misses what has been received ahead.
    #   @return [Integer]
    #   @raise [IOError] when it is closed
    #   @since 0.1.0
  end

  # A block that runs on a fiber of its own; see {Nyario.spawn}. An exception that nobody waits for is reported on $stderr.
  class Task
    # @!method join
    #   Waits for its end, on a fiber of the same loop. Several may wait.
    #   @return [Task] itself
    #   @raise [RuntimeError] on another thread, outside the loop's fibers, or for a task that waits for itself
    #   @raise [SystemCallError] ECANCELED when the loop ends
    #   @since 0.1.0

    # @!method value
    #   Waits as {#join} does.
    #   @return [Object] what the block returned
    #   @raise [Exception] what the block raised
    #   @since 0.1.0

    # @!method alive?
    #   @return [Boolean] whether it has not ended
    #   @since 0.1.0
  end

  # Ruby's own blocking calls on the loop: the interface that Ruby calls Fiber::Scheduler.
  #
  #   Fiber.set_scheduler(Nyario::Scheduler.new)
  #   Fiber.schedule { puts Net::HTTP.get(uri) }
  #   Fiber.schedule { sleep 1 }
  #
  # `sleep`, reading and writing, `accept` and `connect`, Mutex, Queue, ConditionVariable, Thread#join, `system` and
  # Process.wait, names, Timeout.timeout: on a fiber of {#fiber}, on a handler of {Nyario.register} and in a task of
  # {Nyario.spawn} each of them suspends that fiber alone. {Nyario.loop} has a scheduler of its own unless the thread has
  # one; without it a thread's scheduler runs when the thread ends, or at `Fiber.set_scheduler(nil)`.
  #
  # The hooks are for Ruby to call. A subclass may define some anew and call `super`. A scheduler serves one thread at a
  # time; {#unblock} alone may be called from any. What a scheduled fiber raises is reported on $stderr.
  class Scheduler
    # @!method fiber(**options, &block)
    #   `Fiber.schedule`: runs the block on a new Fiber, at once, until it waits.
    #   @return [Fiber]
    #   @raise [SystemCallError] ECANCELED while the loop ends
    #   @since 0.1.0

    # @!method run
    #   Runs until no fiber is left that waits. To be called on the thread's root fiber.
    #   @return [nil]
    #   @raise [Exception] what interrupts the thread, or a fiber raised that is no StandardError
    #   @since 0.1.0

    # @!method close
    #   As {#scheduler_close}.
    #   @return [nil]
    #   @since 0.1.0

    # @!method scheduler_close
    #   Runs what is left to its end and gives the loop back. Ruby calls it when the thread ends.
    #   @return [nil]
    #   @since 0.1.0

    # @!method kernel_sleep(duration = nil)
    #   `sleep`. Without a duration, until {#unblock}; a duration of 0 lets the others go first.
    #   @return [true]
    #   @since 0.1.0

    # @!method block(blocker, timeout = nil)
    #   Waits until somebody calls {#unblock} with the fiber.
    #   @return [Boolean] whether somebody has; false when the time was up
    #   @since 0.1.0

    # @!method unblock(blocker, fiber)
    #   Ends the wait of a fiber that is blocked, from any thread. Does not wait.
    #   @return [nil]
    #   @since 0.1.0

    # @!method yield
    #   Lets the others that are ready go first.
    #   @return [nil]
    #   @since 0.1.0

    # @!method io_wait(io, events, timeout = nil)
    #   Waits for one of the events (`IO::READABLE`, `IO::PRIORITY`, `IO::WRITABLE`). A time-out of 0 only looks.
    #   @return [Integer, false] those that hold; false when the time is up
    #   @raise [IOError] when the IO is closed meanwhile
    #   @raise [IO::TimeoutError] when it is the IO's own time-out that has passed (Ruby 3.2)
    #   @since 0.1.0

    # @!method io_read(io, buffer, length, offset = 0)
    #   Reads at least `length` bytes into the buffer, or what one try brings when that is 0. A socket is waited for then
    #   as well: Ruby would only ask again.
    #   @return [Integer] how many, 0 at the end, or a negative errno
    #   @since 0.1.0

    # @!method io_write(io, buffer, length, offset = 0)
    #   Writes at least `length` bytes of the buffer. There since Ruby 3.3, as older ones call it wrongly.
    #   @return [Integer] how many, or a negative errno
    #   @since 0.1.0

    # @!method io_select(readables, writables = nil, exceptables = nil, timeout = nil)
    #   `IO.select`. There since Ruby 3.2, which is the first to call it.
    #   @return [Array(Array, Array, Array), nil] those that are ready; nil when the time is up
    #   @since 0.1.0

    # @!method io_close(descriptor)
    #   Closes the descriptor, and wakes whoever waits on it. There since Ruby 4.0, which is the first to call it.
    #   @return [true]
    #   @since 0.1.0

    # @!method timeout_after(duration, exception, *arguments, &block)
    #   `Timeout.timeout`: past the duration the exception is raised wherever the block waits, or waits next.
    #   @return [Object] the block's value
    #   @since 0.1.0

    # @!method fiber_interrupt(fiber, exception)
    #   Raises the exception in a fiber, where it waits or waits next.
    #   @return [nil]
    #   @since 0.1.0

    # @!method process_wait(pid, flags)
    #   Waits for a child.
    #   @return [Process::Status]
    #   @since 0.1.0

    # @!method address_resolve(hostname)
    #   Resolves a name, on a thread.
    #   @return [Array<String>] its addresses; none when it has none
    #   @since 0.1.0

    # @!method blocking_operation_wait(work)
    #   Calls what only blocks, on a thread.
    #   @return [Object] what it returned
    #   @since 0.1.0
  end
end
