# frozen_string_literal: true

module Nyario
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
end
