# frozen_string_literal: true

module Nyario
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
  # time: another gets a RuntimeError from its hooks, except from {#unblock} and {#fiber_interrupt}. What a scheduled fiber
  # raises is reported on $stderr.
  class Scheduler
    # @!method fiber(**options, &block)
    #   `Fiber.schedule`: runs the block on a new Fiber, at once, until it waits.
    #   @return [Fiber]
    #   @raise [SystemCallError] ECANCELED while the loop ends
    #   @since 0.1.0

    # @!method run
    #   Runs until no fiber is left that waits. To be called on the thread's root fiber.
    #   @return [nil]
    #   @raise [RuntimeError] on a fiber that it schedules
    #   @raise [Exception] what interrupts the thread, or a fiber raised that is no StandardError
    #   @since 0.1.0

    # @!method close
    #   As {#scheduler_close}.
    #   @return [nil]
    #   @since 0.1.0

    # @!method scheduler_close
    #   Runs what is left to its end and gives the loop back. Ruby calls it when the thread ends. When an exception ends the
    #   process (`exit` and an interrupt are some), or comes meanwhile, or the thread is killed, nothing more is waited
    #   for: whatever waits is refused with ECANCELED, so that each fiber leaves by way of what it ensures.
    #   @return [nil]
    #   @raise [RuntimeError] in another thread than the one it serves
    #   @raise [Exception] what interrupts the thread, or a fiber raised that is no StandardError
    #   @since 0.1.0

    # @!method kernel_sleep(duration = nil)
    #   `sleep`. Without a duration, until {#unblock}; a duration of 0 lets the others go first.
    #   @return [true]
    #   @raise [ArgumentError] for a duration below 0
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

    # @!method io_read(io, buffer, length, offset)
    #   Reads at least `length` bytes into the buffer, from the offset on, or what one try brings when that is 0. A Ruby
    #   socket is waited for then as well: Ruby would only ask again. The buffer is locked meanwhile.
    #
    #   Ruby 3.1 passes no offset. Since 4.1 the order is `(io, buffer, offset, length)`, `length` is the most that one try
    #   may bring, and 0 does nothing. The same is true of {#io_write}, {#io_pread} and {#io_pwrite}.
    #   @return [Integer] how many, 0 at the end, or a negative errno: EAGAIN, EINVAL for an offset outside the buffer
    #   @raise [IO::Buffer::AccessError] for a buffer that is only to be read
    #   @raise [IO::TimeoutError] when the IO's own time-out has passed (Ruby 3.2), in {#io_write} too
    #   @since 0.1.0

    # @!method io_write(io, buffer, length, offset)
    #   Writes at least `length` bytes of the buffer, or what one try takes when that is 0. There since Ruby 3.3.1: older
    #   ones call it wrongly.
    #   @return [Integer] how many, or a negative errno
    #   @since 0.1.0

    # @!method io_pread(io, buffer, from, length, offset)
    #   Reads as {#io_read} at a place in the file: all that fits, as far as the file goes. What the page cache has is
    #   there at once, the rest is read on a native thread. Ruby 3.1 passes `(io, buffer, length, from)`, 4.1
    #   `(io, buffer, from, offset, length)`.
    #   @return [Integer] how many, 0 at the end, or a negative errno: ESPIPE for what has no places
    #   @since 0.1.0

    # @!method io_pwrite(io, buffer, from, length, offset)
    #   Writes at a place in the file, as {#io_pread} reads. An exception in the fiber does not stop what a thread has begun.
    #   There since Ruby 3.2: 3.1 passes it a wrong place. 4.1 passes `(io, buffer, from, offset, length)`. Ruby 3.3 and 3.4
    #   call it for `IO#pwrite` without the GVL: then it writes at once, and a subclass had better not define it.
    #   @return [Integer] how many, or a negative errno
    #   @since 0.1.0

    # @!method io_select(readables, writables = nil, exceptables = nil, timeout = nil)
    #   `IO.select`. There since Ruby 3.2, which is the first to call it.
    #   @return [Array(Array, Array, Array), nil] those that are ready; nil when the time is up
    #   @since 0.1.0

    # @!method io_close(descriptor)
    #   Closes the descriptor, and wakes whoever waits on it. There since Ruby 4.0, which is the first to call it.
    #   @param descriptor [Integer]
    #   @return [Boolean] false when it is for Ruby to do: the descriptor is not open, or the loop ends
    #   @raise [SystemCallError] EIO and others of close(2); it is closed then
    #   @since 0.1.0

    # @!method timeout_after(duration, exception, *arguments, &block)
    #   `Timeout.timeout`: past the duration the exception is raised wherever the block waits, or waits next.
    #   @return [Object] the block's value
    #   @since 0.1.0

    # @!method fiber_interrupt(fiber, exception)
    #   Raises the exception in a fiber where it waits, from any thread; one that does not wait is not meant. Ruby calls it
    #   since 4.0.
    #   @param fiber [Fiber, #alive?] or, since Ruby 4.1, an operation of one, which is asked whether it is still `alive?` and
    #     told to `raise` the exception, on a fiber of the loop's own
    #   @return [nil]
    #   @since 0.1.0

    # @!method process_wait(pid, flags)
    #   Waits for a child; for several, or one that only stops, on a thread that ends with the wait.
    #   @param pid [Integer] that child; -1 for any, 0 or less for one of a process group
    #   @param flags [Integer] `Process::WNOHANG`, `Process::WUNTRACED`
    #   @return [Process::Status, nil] without such a child it carries the error; nil when WNOHANG was given and none has ended
    #   @since 0.1.0

    # @!method address_resolve(hostname)
    #   Asks the system's resolver for a name, on a native thread. A suffix that names an interface (`%eth0`) is left out.
    #   @return [Array<String>, nil] its addresses, each once, in the order in which they are to be tried; nil without any
    #   @raise [SystemCallError] EAGAIN or ENOMEM when no thread can be made, ECANCELED when the loop ends
    #   @since 0.1.0

    # @!method blocking_operation_wait(work)
    #   Calls what only blocks, on a thread of Ruby's; 16 of them may run at a time in a process. An exception in the fiber
    #   interrupts the operation, and goes on its way when that has ended. Ruby calls it since 3.4.
    #   @return [Object] what it returned
    #   @since 0.1.0
  end
end
