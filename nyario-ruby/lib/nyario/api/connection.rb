# frozen_string_literal: true

module Nyario
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
end
