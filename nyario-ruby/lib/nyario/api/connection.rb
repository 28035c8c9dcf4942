# frozen_string_literal: true

module Nyario
  # A connection: one that a server accepted, as its handler gets it, or one of {Nyario.connect} and {Nyario.accept}. It
  # belongs to the loop of one thread. It is closed once that loop has ended; a handler's with the handler, and the others
  # when they are collected. Any other thread finds it closed.
  #
  # Whatever waits suspends the calling fiber alone. All texts are binary. A call that an exception cuts short leaves what has
  # come to the next read.
  class Connection
    # @!method read(max = nil, buffer = nil)
    #   As {Nyario.read}.
    #   @return [String, nil]
    #   @raise [IO::TimeoutError] past the {#timeout}
    #   @since 0.1.0

    # @!method readpartial(max, buffer = nil)
    #   As {#read}, and raises at the end.
    #   @return [String]
    #   @raise [EOFError] at the end
    #   @since 0.1.0

    # @!method read_exactly(count)
    #   As {Nyario.read_exactly}.
    #   @return [String]
    #   @raise [EOFError] when the end comes before
    #   @raise [IO::TimeoutError] past the {#timeout}
    #   @since 0.1.0

    # @!method read_until(separator, limit: 65536)
    #   As {Nyario.read_until}.
    #   @return [String, nil]
    #   @raise [EOFError] when the end comes before the separator and after something else
    #   @raise [LimitError] when so many bytes have no separator among them
    #   @raise [IO::TimeoutError] past the {#timeout}
    #   @since 0.1.0

    # @!method gets(separator = "\n", limit: 65536, chomp: false)
    #   As {#read_until}, but the end of the stream ends a line too.
    #   @param chomp [Boolean] leaves the separator out
    #   @return [String, nil] nil at the end
    #   @raise [LimitError] when the line is longer
    #   @since 0.1.0

    # @!method each_line(separator = "\n", limit: 65536, chomp: false, &block)
    #   Calls the block with each line, as {#gets} reads it, until the end.
    #   @yieldparam line [String]
    #   @return [Connection] itself; an Enumerator without a block
    #   @since 0.1.0

    # @!method write(*strings)
    #   As {Nyario.write}.
    #   @return [Integer]
    #   @raise [IO::TimeoutError] past the {#timeout}; a part may have been written
    #   @since 0.1.0

    # @!method <<(string)
    #   Writes it.
    #   @return [Connection] itself
    #   @since 0.1.0

    # @!method print(*objects)
    #   As IO#print.
    #   @return [nil]
    #   @since 0.1.0

    # @!method puts(*objects)
    #   As IO#puts.
    #   @return [nil]
    #   @since 0.1.0

    # @!method flush
    #   Does nothing: what is written is not held back.
    #   @return [Connection] itself
    #   @since 0.1.0

    # @!method sync
    #   What is written is not held back.
    #   @return [true]
    #   @since 0.1.0

    # @!method sync=(value)
    #   Does nothing, for those who set it on any IO.
    #   @return [Object] the value
    #   @since 0.1.0

    # @!method timeout
    #   @return [Float, nil] how many seconds a call may wait; nil for as long as it takes
    #   @since 0.1.0

    # @!method timeout=(seconds)
    #   Bounds each call that waits for the peer from now on. Past it the call raises IO::TimeoutError, or
    #   {Nyario::TimeoutError} where Ruby has none (before 3.2), and the connection can still be used.
    #   @param seconds [Numeric, nil] above 0
    #   @raise [ArgumentError] for 0 and less
    #   @since 0.1.0

    # @!method close
    #   Closes it, and the IO of {#to_io}. Fibers that wait on it get an IOError. Closing twice does nothing.
    #   @return [nil]
    #   @since 0.1.0

    # @!method close_write
    #   Tells the peer that nothing more will come; what it sends can still be read. Does not suspend.
    #   @return [nil]
    #   @raise [IOError] when it is closed
    #   @raise [SystemCallError] ENOTCONN when the peer is gone
    #   @since 0.1.0

    # @!method closed?
    #   @return [Boolean]
    #   @since 0.1.0

    # @!method peer_address
    #   @return [Addrinfo] whom it is to
    #   @raise [IOError] when it is closed
    #   @raise [SystemCallError] ENOTCONN when the peer is gone
    #   @since 0.1.0

    # @!method local_address
    #   @return [Addrinfo] its own end's
    #   @raise [IOError] when it is closed
    #   @since 0.1.0

    # @!method to_io
    #   The same connection as an IO of Ruby's, for libraries that want one: `OpenSSL::SSL::SSLSocket.new(connection.to_io,
    #   context)`, IO.select, IO.copy_stream. The IO and the connection end together, whichever is closed.
    #
    #   Nothing is lost. From now on nothing is received ahead, so a connection of which nothing has been read yet, as its
    #   handler gets it, is simply a duplicate of the socket. Bytes that have been received or read ahead by then cannot go
    #   back into it, so then the IO is one end of a pair of sockets, and two tasks carry the bytes to and fro; the connection
    #   itself is not to be read or written any more.
    #   @return [TCPSocket, UNIXSocket] always the same; a UNIXSocket also when it is the end of a pair
    #   @raise [IOError] when it is closed
    #   @raise [SystemCallError] EMFILE
    #   @since 0.1.0

    # @!method fileno
    #   The number of its descriptor. Whoever reads from that past nyario misses what has been received ahead.
    #   @return [Integer]
    #   @raise [IOError] when it is closed
    #   @since 0.1.0
  end
end
