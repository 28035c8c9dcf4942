# frozen_string_literal: true

module Nyario
  # Hands values from fiber to fiber, in order: on one loop, on several, and to and from plain threads, which wait without
  # the GVL. Who has waited longest is served first, on both sides. A fiber or thread that is interrupted while it waits
  # loses nothing: what it was given goes to the next. Enumerable, by {#each}.
  #
  # `Nyario::Channel.new(capacity)` makes one in which so many values may wait; with a capacity of 0 each waits for whoever
  # takes it.
  class Channel
    # @!method push(value, timeout: nil)
    #   Waits until there is room.
    #   @param timeout [Numeric, nil] at most so many seconds; 0 does not wait
    #   @return [Channel, nil] itself; nil when the time is up, and the value is not taken
    #   @raise [ClosedQueueError] when it is closed, also meanwhile
    #   @raise [ArgumentError] for a negative time
    #   @raise [RuntimeError] on a loop's own fiber, when it would wait
    #   @raise [SystemCallError] ECANCELED when the loop of the fiber that waits ends
    #   @since 0.1.0

    # @!method <<(value)
    #   As {#push}, for as long as it takes.
    #   @return [Channel] itself
    #   @raise [ClosedQueueError] when it is closed, also meanwhile
    #   @since 0.1.0

    # @!method pop(timeout: nil)
    #   Waits until there is a value.
    #   @param timeout [Numeric, nil] at most so many seconds; 0 does not wait
    #   @return [Object, nil] the value; nil when the time is up, or when it is closed and empty
    #   @raise [ArgumentError] for a negative time
    #   @raise [RuntimeError] on a loop's own fiber, when it would wait
    #   @raise [SystemCallError] ECANCELED when the loop of the fiber that waits ends
    #   @since 0.1.0

    # @!method each
    #   Yields value after value until it is closed and empty.
    #   @return [Channel, Enumerator] itself; an Enumerator without a block
    #   @since 0.1.0

    # @!method close
    #   Takes no more values. What is in it can be popped; whoever waits to push gets a ClosedQueueError, whoever waits to pop
    #   gets nil. Closing twice does nothing.
    #   @return [Channel] itself
    #   @since 0.1.0

    # @!method closed?
    #   @return [Boolean]
    #   @since 0.1.0

    # @!method size
    #   @return [Integer] how many values wait in it, without those whose pushers still wait
    #   @since 0.1.0
  end
end
