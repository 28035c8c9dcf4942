# frozen_string_literal: true

module Nyario
  # A block that runs once its time has come; see {Nyario.after} and {Nyario.every}. Several timers that are due at the same
  # time run side by side.
  class Timer
    # @!method cancel
    #   The block is not called any more. A call that has begun goes on; it may be the one that cancels. On any thread.
    #   @return [Boolean] false when there would have been no other call
    #   @since 0.1.0

    # @!method active?
    #   @return [Boolean] whether there will be another call, unless it is cancelled or the loop ends
    #   @since 0.1.0
  end
end
