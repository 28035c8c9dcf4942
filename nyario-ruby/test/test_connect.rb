# frozen_string_literal: true

require "helper"

# Connections that nobody registered a handler for: listen, connect, accept.
class TestConnect < NyarioTest
  def address(server)
    return server.path if server.is_a?(UNIXServer)

    "#{server.local_address.ip_address.then { |ip| ip.include?(":") ? "[#{ip}]" : ip }}:#{server.local_address.ip_port}"
  end

  # A connection, and what the server accepted for it.
  def pair(server = Nyario.listen("127.0.0.1:0"))
    accepted = Nyario.spawn { Nyario.accept(server) }
    [Nyario.connect(address(server)), accepted.value]
  end

  def test_listen_makes_a_plain_socket
    isolated do
      server = Nyario.listen("127.0.0.1:0")
      assert_instance_of TCPServer, server
      assert_predicate server, :close_on_exec?
      assert_equal "127.0.0.1", server.local_address.ip_address
      client = TCPSocket.new("127.0.0.1", server.local_address.ip_port)
      server.accept.write("hello")
      assert_equal "hello", client.readpartial(10)
      assert_equal "0.0.0.0", Nyario.listen("*:0").local_address.ip_address
      assert_equal "::1", Nyario.listen("[::1]:0").local_address.ip_address
      assert_equal "127.0.0.1", Nyario.listen("localhost:0").local_address.ip_address
    end
  end

  def test_listen_on_a_path
    isolated do
      Dir.mktmpdir do |dir|
        path = "#{dir}/socket"
        server = Nyario.listen(path)
        assert_instance_of UNIXServer, server
        assert_equal path, server.path
        assert_raises(Errno::EADDRINUSE) { Nyario.listen(path) }
        server.close
        # A dead server's leftover is taken over.
        Nyario.listen(path).close
        assert_raises(Errno::EOPNOTSUPP) { Nyario.listen("#{dir}/shared", reuse_port: true) }
      end
    end
  end

  def test_listen_shares_a_port_and_bounds_its_queue
    isolated do
      first = Nyario.listen("127.0.0.1:0", reuse_port: true)
      again = Nyario.listen(address(first), reuse_port: true, backlog: 16)
      assert_equal first.local_address.ip_port, again.local_address.ip_port
      error = assert_raises(Errno::EADDRINUSE) { Nyario.listen(address(first)) }
      assert_match(/listen on 127.0.0.1:/, error.message)
      short = Nyario.listen("127.0.0.1:0", backlog: 0)
      # One is queued beyond the bound; the next one's first packet is dropped.
      waiting = Array.new(4) { Socket.new(:INET, :STREAM) }
      begun = waiting.map do |socket|
        socket.connect_nonblock(short.local_address, exception: false).tap { short.wait_readable(10) }
      end
      Kernel.sleep 0.1
      established = waiting.count { |socket| socket.getsockopt(:TCP, :INFO).unpack("C") == [1] }
      assert_equal 4, begun.size
      assert_operator established, :<, 4
      assert_raises(ArgumentError) { Nyario.listen("127.0.0.1:0", backlog: -1) }
      assert_raises(TypeError) { Nyario.listen("127.0.0.1:0", backlog: "many") }
    end
  end

  def test_listen_with_a_block_registers
    isolated do
      server = Nyario.listen("127.0.0.1:0") { |c| c.write(c.read.upcase) }
      answer = Thread.new do
        peer = connect(server)
        peer.write("hello")
        peer.read.tap { Nyario.stop }
      end
      Nyario.loop
      assert_equal "HELLO", answer.value
    end
  end

  def test_addresses_that_are_none
    isolated do
      ["", "127.0.0.1:65536", "127.0.0.1:", ":::80", "a b:80", "host:port", "\xff:1"].each do |text|
        assert_raises(ArgumentError, text) { Nyario.listen(text) }
        in_loop { assert_raises(ArgumentError, text) { Nyario.connect(text) } }
      end
      assert_raises(Errno::ENAMETOOLONG) { Nyario.listen("/tmp/#{"x" * 200}") }
      [nil, 80, :address].each { |garbage| assert_raises(TypeError) { Nyario.listen(garbage) } }
      assert_raises(ArgumentError) { Nyario.listen }
      assert_raises(ArgumentError) { Nyario.listen("127.0.0.1:0", shared: true) }
    end
  end

  def test_connect_and_accept
    isolated do
      in_loop do
        client, accepted = pair
        assert_instance_of Nyario::Connection, client
        client.write("question\n")
        assert_equal "question\n", accepted.gets
        accepted << "answer"
        accepted.close
        assert_equal ["answer", nil], [client.read, client.read]
        client.close
        assert_predicate client, :closed?
      end
    end
    isolated do
      Dir.mktmpdir do |dir|
        in_loop do
          client, accepted = pair(Nyario.listen("#{dir}/socket"))
          client.write("x")
          assert_equal "x", accepted.read
        end
      end
    end
  end

  def test_addresses_of_both_ends
    isolated do
      in_loop do
        client, accepted = pair
        assert_instance_of Addrinfo, client.peer_address
        assert_equal client.local_address.ip_unpack, accepted.peer_address.ip_unpack
        assert_equal client.peer_address.ip_unpack, accepted.local_address.ip_unpack
        assert_equal Socket::SOCK_STREAM, client.peer_address.socktype
        client.close
        assert_raises(IOError) { client.peer_address }
      end
      Dir.mktmpdir do |dir|
        in_loop do
          client, _other = pair(Nyario.listen("#{dir}/socket"))
          assert_equal "#{dir}/socket", client.peer_address.unix_path
        end
      end
    end
  end

  def test_nobody_listens
    isolated do
      server = listener
      free = address(server)
      server.close
      in_loop do
        error = assert_raises(Errno::ECONNREFUSED) { Nyario.connect(free) }
        assert_match(/connect to #{free}/, error.message)
        assert_raises(Errno::ENOENT) { Nyario.connect("/nowhere/at/all") }
      end
    end
  end

  def test_names
    isolated do
      server = listener
      # Addresses are told by their letters; this is a name that has to be looked up, and some of what is found refuses.
      name = "LOCALHOST:#{server.local_address.ip_port}"
      before = Thread.list.size
      in_loop do
        client = Nyario.connect(name)
        assert_equal "127.0.0.1", client.peer_address.ip_address
        assert_equal before, Thread.list.size
        assert_raises(SocketError) { Nyario.connect("no-such-host.invalid:80") }
        assert_raises(SocketError) { Nyario.listen("no-such-host.invalid:80") }
      end
      assert_raises(SocketError) { Nyario.listen("no-such-host.invalid:80") }
    end
  end

  EXPIRED = IO.const_defined?(:TimeoutError) ? "IO::TimeoutError" : "Nyario::TimeoutError"

  # A unix socket whose backlog is full lets nobody in.
  def full(dir)
    server = UNIXServer.new("#{dir}/full")
    server.listen(0)
    queued = Array.new(2) do
      Socket.new(:UNIX, :STREAM).tap { |socket| socket.connect_nonblock(server.local_address) }
    rescue Errno::EAGAIN
      nil
    end
    [server, queued]
  end

  def test_a_connect_that_takes_too_long
    isolated do
      Dir.mktmpdir do |dir|
        server, queued = full(dir)
        Nyario.backend
        before = descriptors
        in_loop do
          assert_raises(Object.const_get(EXPIRED)) { Nyario.connect(server.path, timeout: 0.05) }
          assert_raises(Timeout::Error) { Timeout.timeout(0.05) { Nyario.connect(server.path) } }
          assert_operator descriptors, :<=, before
          task = Nyario.spawn { Nyario.connect(server.path) }
          Nyario.sleep(0.02)
          3.times { server.accept_nonblock(exception: false) }
          assert_instance_of Nyario::Connection, task.value
          [0, -1, Float::NAN].each { |n| assert_raises(ArgumentError) { Nyario.connect(server.path, timeout: n) } }
          assert_raises(TypeError) { Nyario.connect(server.path, timeout: "1") }
        end
        queued.clear
      end
    end
  end

  def test_outside_a_loop_there_is_no_connection
    isolated do
      server = listener
      [-> { Nyario.connect(address(server)) }, -> { Nyario.accept(server) }].each do |call|
        assert_match(/a loop that runs/, assert_raises(RuntimeError) { call.call }.message)
      end
    end
  end

  def test_what_cannot_accept
    isolated do
      in_loop do
        left, _other = UNIXSocket.pair
        reader, _other = IO.pipe
        assert_raises(Errno::EINVAL) { Nyario.accept(left) }
        assert_raises(Errno::ENOTSOCK) { Nyario.accept(reader) }
        assert_raises(TypeError) { Nyario.accept("server") }
        closed = listener.tap(&:close)
        assert_raises(IOError) { Nyario.accept(closed) }
        number = listener
        assert_raises(Timeout::Error) { Timeout.timeout(0.02) { Nyario.accept(number.fileno) } }
      end
    end
  end

  def test_several_fibers_accept_from_one_server
    isolated do
      in_loop do
        server = Nyario.listen("127.0.0.1:0")
        tasks = Array.new(5) { |n| Nyario.spawn { Nyario.accept(server).then { |c| c.write(n.to_s) && c.close } } }
        Nyario.sleep(0)
        answers = Array.new(5) { Nyario.connect(address(server)).read }
        tasks.each(&:join)
        assert_equal %w[0 1 2 3 4], answers.sort
      end
    end
  end

  # What ends two waits at once, while nobody looks: the fiber that goes on first interrupts the other.
  def at_once(server, order)
    reader, writer = IO.pipe
    client = nil
    Nyario.spawn do
      thread = Thread.new do
        events = [-> { writer.write("x") }, -> { client = TCPSocket.new("127.0.0.1", server.local_address.ip_port) }]
        events.rotate(order).each(&:call)
      end
      Thread.pass while thread.alive?
    end
    Nyario.read(reader)
    yield
    [reader, writer].each(&:close)
    client
  end

  def test_no_connection_is_lost_to_an_exception
    isolated do
      in_loop do
        server = Nyario.listen("127.0.0.1:0")
        Nyario.backend
        before = descriptors
        interrupted = 0
        20.times do |n|
          fiber = nil
          acceptor = Nyario.spawn do
            fiber = Fiber.current
            Nyario.accept(server)
          rescue KeyError
            interrupted += 1
            nil
          end
          Nyario.sleep(0.001)
          client = at_once(server, n % 2) do
            fiber.raise(KeyError, "on purpose") if acceptor.alive?
          end
          accepted = acceptor.value || Nyario.spawn { Nyario.accept(server) }.value
          accepted.write("served")
          assert_equal "served", client.readpartial(10)
          [client, accepted].each(&:close)
        end
        assert_operator interrupted, :>, 0
        assert_operator descriptors, :<=, before
      end
    end
  end

  def test_they_end_with_their_loop
    isolated do
      server = listener
      before = descriptors
      kept = nil
      in_loop { kept = pair(server) }
      assert_operator descriptors, :<=, before
      GC.start
      kept.each do |c|
        assert_predicate c, :closed?
        assert_raises(IOError) { c.read }
        assert_nil c.close
      end
      kept = nil
      # A loop's connections are not another's, nor another thread's.
      in_loop do
        mine, _other = pair(server)
        Thread.new { assert_raises(IOError) { mine.read } }.join
        mine.write("still open")
      end
      GC.start
      assert_operator descriptors, :<=, before
    end
  end

  def test_a_connection_that_is_forgotten_is_closed
    isolated do
      in_loop do
        server = listener
        before = descriptors
        GC.disable
        20.times { pair(server) }
        assert_operator descriptors, :>=, before + 20
        GC.enable
        Fiber.new { GC.start }.resume
        Nyario.sleep(0.01)
        # The last ones may still lie on the stack.
        assert_operator descriptors, :<, before + 20
      end
    end
  end

  def test_many_at_once
    isolated do
      in_loop do
        server = Nyario.listen("127.0.0.1:0")
        acceptor = Nyario.spawn do
          200.times do
            c = Nyario.accept(server)
            Nyario.spawn { c.write(c.gets.upcase) && c.close }
          end
        end
        clients = Array.new(200) do |n|
          Nyario.spawn do
            c = Nyario.connect(address(server), timeout: 20)
            c.write("number #{n}\n")
            c.read.tap { c.close }
          end
        end
        assert_equal (0...200).map { |n| "NUMBER #{n}\n" }, clients.map(&:value)
        acceptor.join
      end
    end
  end
end
