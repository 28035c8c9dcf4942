# frozen_string_literal: true

# The documentation of what the extension defines. Nothing here is loaded: it is for YARD.

# Blocking-style code at event-loop speed: fibers over io_uring and epoll, by completion.
#
# Each thread has a loop of its own, made when it is first needed. What is registered and spawned belongs to the calling
# thread's loop and runs once that thread calls {Nyario.loop}. `NYARIO_BACKEND` (`uring` or `epoll`) picks the backend.
#
# Whatever waits, suspends the calling fiber and lets the others run. Outside a running loop it blocks the thread instead,
# without the GVL, so the same code works in both places. In a trap handler that runs on the loop's own fiber, waiting
# raises a RuntimeError. Ractors other than the first are refused, by Ruby's own Ractor::UnsafeError.
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

  # @!method self.run(&block)
  #   Runs the block as a task, and the calling thread's loop until the block, every task and every fiber has ended and no
  #   server is registered. When the block raises, what else there is is ended as {Nyario.loop} ends it, and the exception is
  #   raised here. On a fiber of a running loop the block runs at once, in place.
  #   @return [Object] the block's value; nil when {Nyario.stop} has ended the loop before the block
  #   @raise [ArgumentError] without a block
  #   @raise [RuntimeError] on the own fiber of a loop that runs
  #   @raise [Exception] what the block raised, and what interrupts the thread
  #   @since 0.1.0

  # @!method self.spawn(name: nil, &block)
  #   Runs the block on a fiber of its own, from the loop's next round on.
  #   @param name [#to_s, nil] for whoever looks at what the loop does
  #   @return [Task]
  #   @raise [ArgumentError] without a block
  #   @raise [SystemCallError] ECANCELED while the loop ends
  #   @since 0.1.0

  # @!method self.listen(address, backlog: nil, reuse_port: false, &block)
  #   Opens a server. A path that a dead server left behind is taken over. Suspends only while a host's name is looked up.
  #   @param address [String] `host:port` (an IPv4 address, an IPv6 one in brackets, `localhost`, `*` for every address of the
  #     machine, or a name; port 0 lets the kernel choose), or the path of a unix socket, which has a `/` or no `:` in it
  #   @param backlog [Integer, nil] how many connections may wait to be accepted; as many as the kernel allows if left out
  #   @param reuse_port [Boolean] other processes or threads that say so too may listen there, and the kernel spreads the
  #     connections over them
  #   @yieldparam connection [Connection] with a block the server is registered: see {Nyario.register}
  #   @return [TCPServer, UNIXServer] which anything else can be done with as well
  #   @raise [ArgumentError] for what is no address
  #   @raise [SocketError] for a name that has no address
  #   @raise [SystemCallError] EADDRINUSE, EADDRNOTAVAIL, EACCES, ENAMETOOLONG, EOPNOTSUPP for a path to be shared, EMFILE
  #   @since 0.1.0

  # @!method self.accept(server)
  #   Takes one connection. Suspends until there is one. An exception in the meantime loses none: the next to accept gets
  #   it.
  #   @param server [TCPServer, UNIXServer, Socket, Integer]
  #   @return [Connection] closed by {Connection#close}, with the loop, or when it is collected
  #   @raise [RuntimeError] outside a running loop
  #   @raise [IOError] when the server is closed
  #   @raise [SystemCallError] EINVAL when it does not listen, ENOTSOCK, EMFILE, ECANCELED when the loop ends
  #   @since 0.1.0

  # @!method self.connect(address, timeout: nil)
  #   Opens a connection. A host's name is looked up on a thread of the core's, and its addresses are tried in turn until one
  #   answers. Suspends until then.
  #   @param address [String] as {Nyario.listen} takes it; there is no `*` to connect to
  #   @param timeout [Numeric, nil] seconds for all of it, above 0
  #   @return [Connection] closed by {Connection#close}, with the loop, or when it is collected
  #   @raise [RuntimeError] outside a running loop
  #   @raise [ArgumentError] for what is no address, and for a time-out of 0 or less
  #   @raise [IO::TimeoutError] past the time-out; {Nyario::TimeoutError} before Ruby 3.2
  #   @raise [SocketError] for a name that has no address
  #   @raise [SystemCallError] of the last address: ECONNREFUSED, ENOENT, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EMFILE;
  #     ECANCELED when the loop ends
  #   @since 0.1.0

  # @!method self.group(&block)
  #   Calls the block with a {Group}, and returns once it and every task that was begun in the group has ended. The first
  #   task that fails cancels the others and ends the block where it waits, or waits next; its exception is raised here once
  #   all have ended. An exception that leaves the block, and `break`, `return` and `throw`, cancel all tasks and wait for
  #   them likewise. A task that was cancelled has not failed. What else tasks raise is reported on $stderr.
  #   @yieldparam group [Group]
  #   @return [Object] the block's value
  #   @raise [RuntimeError] outside the fibers of a running loop
  #   @raise [Exception] what the block or the first task raised
  #   @since 0.1.0

  # @!method self.timeout(seconds, &block)
  #   Runs the block. Once the time is up the block is left where it waits, or waits next: its `ensure` clauses run and may
  #   wait, its `rescue` clauses see nothing (`rescue Exception` does, and is not to keep it), and the error is raised from
  #   here. So a block within another never meets the error of the outer one. Nothing is raised in a block that does not
  #   wait, nor after it. Outside a loop this is Timeout.timeout.
  #   @param seconds [Numeric, nil] 0 or more; nil is no limit
  #   @return [Object] the block's value
  #   @raise [TimeoutError] when the time is up
  #   @raise [ArgumentError] for a negative time, or without a block
  #   @since 0.1.0

  # @!method self.deadline(moment = nil, &block)
  #   The same with a moment. Without arguments: the earliest moment that the calling fiber has to keep, by this or by
  #   {Nyario.timeout}.
  #   @param moment [Numeric] seconds of `Process::CLOCK_MONOTONIC`
  #   @return [Object, Float, nil] the block's value; or the moment in force, nil when there is none
  #   @raise [TimeoutError] when the moment has passed
  #   @raise [ArgumentError] for a moment without a block, or a block without a moment
  #   @since 0.1.0

  # @!method self.after(seconds, &block)
  #   Calls the block once so many seconds have passed, on a fiber of its own; until then there is none. What it raises is
  #   reported on $stderr. {Nyario.run} and {Nyario.loop} wait for it.
  #   @param seconds [Numeric] 0 or more
  #   @return [Timer]
  #   @raise [ArgumentError] for a negative time, or without a block
  #   @raise [SystemCallError] ECANCELED while the loop ends
  #   @since 0.1.0

  # @!method self.every(seconds, &block)
  #   Calls the block each time so many seconds have passed, on a fiber of its own. The times are those of the beginning,
  #   however long a call takes; none begins before the one before it has ended, and times that have passed meanwhile are
  #   left out. What a call raises is reported on $stderr, and the next one comes. {Nyario.run} and {Nyario.loop} do not wait
  #   for it, but for a call that has begun.
  #   @param seconds [Numeric] above 0
  #   @return [Timer]
  #   @raise [ArgumentError] for another time, or without a block
  #   @raise [SystemCallError] ECANCELED while the loop ends
  #   @since 0.1.0

  # @!method self.blocking(&block)
  #   Runs the block on a thread, where it holds up no loop, and suspends the fiber meanwhile. It is for what takes long
  #   without giving control away: an extension that releases the GVL, a file of a slow disk. There are at most 16 threads;
  #   the rest waits its turn. A thread ends when it has had nothing to do for 10 seconds. Outside a loop the block runs in
  #   place.
  #
  #   A fiber that is interrupted meanwhile goes on at once: a block that has not begun never does, one that has runs to its
  #   end, and what it raises then is reported on $stderr. In the block, what is local to the thread or fiber is the
  #   thread's.
  #   @return [Object] the block's value
  #   @raise [Exception] what the block raised
  #   @raise [ArgumentError] without a block
  #   @raise [SystemCallError] ECANCELED when the loop ends
  #   @since 0.1.0

  # @!method self.stats
  #   What the calling thread's loop, which is made if there is none, has done and holds. Counts since it was made: `:turns`
  #   it took, `:enters` into the kernel, operations that were over `:at_once` or `:waited`, `:notes` from other threads,
  #   `:sweeps`. What there is now: operations `:waiting`, `:deadlines`, `:adopted` descriptors, `:buffers` for receiving and
  #   those of them that hold bytes (`:buffers_used`), `:servers`, `:accepted` connections and those of them without a fiber
  #   (`:idle`), `:clients`; `:fibers` that have not ended, those of them that are `:tasks`, and those that are `:ready`;
  #   `:fibers_resting` for the next; `:timers`. Of {Nyario.blocking}: `:threads`, `:threads_idle`, `:blocking_queued`. And
  #   the `:backend`. Does not wait.
  #   @return [Hash{Symbol => Integer, Symbol}]
  #   @raise [SystemCallError] as {Nyario.backend}
  #   @since 0.1.0

  # @!method self.fibers
  #   What each fiber of the calling thread's loop does. Of each: the `:fiber`, its `:task` and that one's `:name`, if it is
  #   one; its `:job` (`:task`, `:handler`, `:timer`, `:scheduled` for `Fiber.schedule`, `:other` for a fiber that Ruby code
  #   made and that waits); its `:state` (`:running`, `:ready`, `:waiting`); what it `:waits_for` (`:read`, `:write`,
  #   `:accept`, `:connect`, `:poll`, `:close`, `:sleep`, `:task`, `:group`, `:channel`, `:blocking`, `:unblock` for Ruby's
  #   own sleep, Mutex and Queue, `:park` for others), on which `:fd`, and for how many `:seconds`, to about 10 ms. Does not
  #   wait; `puts Nyario.fibers` shows them line by line.
  #   @return [Array<Hash>]
  #   @raise [SystemCallError] as {Nyario.backend}
  #   @since 0.1.0

  # @!method self.read(source, max = nil, buffer = nil)
  #   Reads once. Suspends until there is something. An exception in the meantime (a time-out, say) loses nothing: the
  #   next read has the bytes.
  #   @param source [Connection, IO, Integer] a socket, pipe, terminal or file
  #   @param max [Integer, nil] at most so many bytes, above 0; 65536 if left out or more
  #   @param buffer [String, nil] is filled instead of a new String, and holds nothing else afterwards; its memory grows to
  #     `max` and is used again. While the kernel may fill it nobody else can change it
  #   @return [String, nil] at least one byte, binary; nil at the end, with the buffer empty
  #   @raise [IOError] when it is closed, also meanwhile
  #   @raise [FrozenError] for a buffer that is frozen; a RuntimeError for one that another call is at work on
  #   @raise [SystemCallError] ECONNRESET, EBADF, ECANCELED when the loop ends, and others of read(2)
  #   @since 0.1.0

  # @!method self.read_exactly(source, count)
  #   Reads so many bytes, however many reads that takes. Suspends until they are there. When the end or an exception comes
  #   before, what has come is left to the next read. What came too early from an IO is in the IO's own buffer.
  #   @param source [Connection, IO]
  #   @param count [Integer] 0 or more bytes
  #   @return [String] binary
  #   @raise [EOFError] when the end comes before
  #   @raise [TypeError] for a number, which has no place for what came too early
  #   @raise [IOError] when it is closed, also meanwhile
  #   @raise [SystemCallError] as {Nyario.read}
  #   @since 0.1.0

  # @!method self.read_until(source, separator, limit: 65536)
  #   Reads up to a separator and with it. Suspends until it is there. What has come after it is left to the next read, and
  #   so is everything when an exception is raised. What came too early from an IO is in the IO's own buffer.
  #   @param source [Connection, IO]
  #   @param separator [String] at least one byte
  #   @param limit [Integer, nil] at most so many bytes, the separator's among them; nil for the default
  #   @return [String, nil] binary; nil at the end
  #   @raise [EOFError] when the end comes before the separator and after something else
  #   @raise [LimitError] when so many bytes have no separator among them
  #   @raise [TypeError] for a number, which has no place for what came too early
  #   @raise [IOError] when it is closed, also meanwhile
  #   @raise [SystemCallError] as {Nyario.read}
  #   @since 0.1.0

  # @!method self.write(target, *strings)
  #   Writes all of each string; several go together in one system call. Suspends until the last byte is taken. What is no
  #   String is converted by `to_s`. While strings are being written nobody can change them (RuntimeError), but for those of
  #   up to 1,024 bytes, which are copied when they have to wait. An exception that is raised in the fiber meanwhile goes on
  #   its way when the kernel has let go; a part may have been written.
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
end
