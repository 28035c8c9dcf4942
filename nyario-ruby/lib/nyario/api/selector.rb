# frozen_string_literal: true

module Nyario
  # The core under somebody else's loop: the interface that the selectors of io-event have, for async and what is built on
  # it.
  #
  #   IO_EVENT_SELECTOR=Nyario RUBYOPT="-r nyario/async" ruby app.rb
  #
  # It is made with the fiber that is to call {#select}: `Nyario::Selector.new(Fiber.current)`, of which a thread may have
  # several. Fibers that wait give control to that one, or past it to the next whose operation has ended. Anybody may
  # transfer to a fiber that waits, which ends its wait.
  #
  # It serves the thread that made it; {#push}, {#wakeup}, {#ready?} and {#closed?} may be called from any. Once it is
  # closed, on another thread and in a forked child, whatever would need the kernel raises a RuntimeError.
  class Selector
    # @!method loop
    #   @return [Fiber] the fiber that calls {#select}
    #   @since 0.1.0

    # @!method idle_duration
    #   @return [Float] for how many seconds the last {#select} slept
    #   @since 0.1.0

    # @!method close
    #   Gives back what it has of the kernel. Fibers that wait stay where they are. Closing twice does nothing.
    #   @return [nil]
    #   @raise [RuntimeError] on another thread
    #   @since 0.1.0

    # @!method closed?
    #   @return [Boolean] whether it is closed, or the parent process's
    #   @since 0.1.0

    # @!method transfer
    #   Gives control to the loop fiber. Suspends until somebody transfers back; on the loop fiber itself it does nothing.
    #   @return [Object, nil] what was handed over
    #   @since 0.1.0

    # @!method resume(fiber, *arguments)
    #   Transfers to the fiber, and goes on in the next round at the latest. Suspends.
    #   @return [Object, nil] what was handed over; nil at once when the fiber has ended
    #   @raise [FiberError] when Ruby refuses
    #   @since 0.1.0

    # @!method yield
    #   Lets the others run, and goes on in the next round. Suspends.
    #   @return [Object, nil]
    #   @since 0.1.0

    # @!method push(fiber)
    #   Has the fiber run in the next round. From any thread; {#wakeup} ends the sleep. Does not suspend.
    #   @param fiber [Fiber, #alive?, #transfer] one that has ended by then is left alone
    #   @return [nil]
    #   @since 0.1.0

    # @!method raise(fiber, *arguments, **options)
    #   Raises in the fiber, as `Fiber#raise` does, and goes on in the next round at the latest. Suspends.
    #   @return [Object, nil]
    #   @raise [FiberError] when Ruby refuses: the fiber has ended, say
    #   @since 0.1.0

    # @!method ready?
    #   @return [Boolean] whether somebody is to run in the next round
    #   @since 0.1.0

    # @!method select(duration = nil)
    #   One round, on the loop fiber: those who are ready run, then those whose operations have ended, up to 256 of them.
    #   Where there is nobody of either it sleeps, without the GVL, until there is, until {#wakeup}, or until something
    #   interrupts the thread.
    #   @param duration [Numeric, nil] for how many seconds at most; nil is for ever, and what is not above 0 only looks
    #   @return [Integer] how many operations have ended
    #   @raise [TypeError, ArgumentError] for what is no number of seconds
    #   @raise [RuntimeError] on another fiber
    #   @raise [Exception] what a fiber ended with, or what interrupts the thread
    #   @since 0.1.0

    # @!method wakeup
    #   Ends the sleep of {#select}, from any thread. Does not suspend.
    #   @return [Boolean] whether it slept
    #   @since 0.1.0

    # @!method io_wait(fiber, io, events)
    #   Waits for one of the events (`IO::READABLE`, `IO::PRIORITY`, `IO::WRITABLE`); an end or an error counts as any. Suspends,
    #   also where they hold already. Several fibers may wait for one IO.
    #   @param fiber [Fiber] the caller's
    #   @return [Integer, false] those that hold; false when somebody transferred to the fiber before any did, and on the
    #     loop fiber
    #   @raise [IOError] when the IO is closed, also meanwhile
    #   @raise [SystemCallError] what the kernel says of the descriptor
    #   @since 0.1.0

    # @!method io_read(fiber, io, buffer, length, offset = 0)
    #   Reads at least `length` bytes into the buffer, or what one try brings when that is 0. A socket is waited for then as
    #   well: Ruby would only ask again. Suspends while there is nothing; bytes are never lost by what ends the wait.
    #   @param fiber [Fiber] the caller's
    #   @param buffer [IO::Buffer]
    #   @return [Integer] how many, 0 at the end, or a negative errno: EAGAIN, EINVAL for an offset beyond the buffer, and
    #     others of read(2)
    #   @since 0.1.0

    # @!method io_write(fiber, io, buffer, length, offset = 0)
    #   Writes at least `length` bytes of the buffer. Suspends while there is no room.
    #   @param fiber [Fiber] the caller's
    #   @param buffer [IO::Buffer]
    #   @return [Integer] how many, or a negative errno
    #   @since 0.1.0

    # @!method io_close(descriptor)
    #   Closes the descriptor, and wakes whoever waits on it. Does not suspend.
    #   @param descriptor [Integer]
    #   @return [true]
    #   @raise [SystemCallError] EBADF when it is not open
    #   @since 0.1.0

    # @!method process_wait(fiber, pid, flags)
    #   Waits for a child: any, one of a group, or one that may only stop, on a thread. Suspends, unless it has ended already.
    #   @param fiber [Fiber] the caller's
    #   @return [Process::Status, false, nil] which carries the error when there is no such child; false when somebody
    #     transferred to the fiber before that; nil when it runs and `Process::WNOHANG` is among the flags
    #   @since 0.1.0
  end
end
