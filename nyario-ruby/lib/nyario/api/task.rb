# frozen_string_literal: true

module Nyario
  # A block that runs on a fiber of its own; see {Nyario.spawn}. An exception that nobody waits for is reported on $stderr.
  class Task
    # @!method join(timeout = nil)
    #   Waits for its end, whatever that is: on a fiber of any loop, or on a plain thread. Several may wait.
    #   @param timeout [Numeric, nil] at most so many seconds
    #   @return [Task, nil] itself; nil when the time is up before
    #   @raise [RuntimeError] for a task that waits for itself, on the thread whose loop has to run it and does not, and when
    #     the task's loop has ended without it
    #   @raise [ArgumentError] for a negative time
    #   @raise [SystemCallError] ECANCELED when the loop of the fiber that waits ends
    #   @since 0.1.0

    # @!method value
    #   Waits as {#join} does.
    #   @return [Object] what the block returned
    #   @raise [Exception] what the block raised: {Cancelled} when the task was cancelled. That is no cancel of the task that
    #     asks, which fails with it like with any other exception
    #   @since 0.1.0

    # @!method cancel
    #   Raises {Cancelled} in it: where it waits, or waits next; at once in the task that cancels itself. Its `ensure` clauses
    #   run, and may wait. A write that is under way ends first, a task that has not begun never does. Whoever asks a second
    #   time raises it a second time. Does not wait for the end, and works on any thread.
    #   @return [Boolean] false when it had ended before
    #   @since 0.1.0

    # @!method alive?
    #   @return [Boolean] whether it has not ended
    #   @since 0.1.0

    # @!method status
    #   @return [Symbol] `:ready`, `:running`, `:waiting`; or, once it has ended, `:finished`, `:failed` or `:cancelled`
    #   @since 0.1.0

    # @!method name
    #   @return [String, nil] what it was called when it was spawned
    #   @since 0.1.0

    # @!method fiber
    #   The fiber that it runs on, which serves others before and after.
    #   @return [Fiber, nil] nil once it has ended
    #   @since 0.1.0
  end
end
