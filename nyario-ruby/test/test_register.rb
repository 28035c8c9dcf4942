# frozen_string_literal: true

require "helper"

class TestRegister < NyarioTest
  ECHO = lambda do |connection|
    while (data = connection.read)
      connection.write(data)
    end
  end

  class Greeter
    def call(connection)
      connection.read
      connection.write("called")
    end

    def greet(connection)
      connection.read
      connection.write("method")
    end
  end

  def test_takes_a_block
    isolated do
      server = listener
      assert_same server, Nyario.register(server) { |connection| connection.write(connection.read.upcase) }
      client = Thread.new { ask(server, "abc").tap { Nyario.stop } }
      assert_nil Nyario.loop
      assert_equal "ABC", client.value
    end
  end

  def test_takes_anything_that_can_be_called
    { ECHO => "hi", Greeter.new => "called", Greeter.new.method(:greet) => "method",
      proc { |connection| connection.write("proc#{connection.read}") } => "prochi" }.each do |handler, answer|
      isolated { serving(handler) { |server| assert_equal answer, ask(server, "hi") } }
    end
  end

  def test_serves_unix_sockets
    isolated do
      Dir.mktmpdir do |dir|
        serving(ECHO, UNIXServer.new("#{dir}/socket")) { |server| assert_equal "unix", ask(server, "unix") }
      end
    end
  end

  def test_serves_sockets_and_numbers
    isolated do
      socket = Socket.new(:INET, :STREAM)
      socket.bind(Addrinfo.tcp("127.0.0.1", 0))
      socket.listen(5)
      serving(ECHO, socket) { |server| assert_equal "socket", ask(server, "socket") }
      assert_predicate socket, :closed?
    end
    isolated do
      server = listener
      serving(ECHO, server.fileno) { assert_equal "number", ask(server, "number") }
      refute_predicate server, :closed?
    end
  end

  def test_speaks_first_when_it_is_eager
    isolated do
      serving(->(connection) { connection.write("welcome") }, eager: true) do |server|
        assert_equal "welcome", connect(server).read
      end
    end
  end

  def test_a_lazy_handler_starts_with_the_first_byte
    isolated do
      begun = 0
      handler = lambda do |connection|
        begun += 1
        connection.write(connection.read)
      end
      serving(handler) do |server|
        silent = connect(server)
        assert_equal "a", ask(server, "a")
        assert_equal 1, begun
        silent.write("b")
        assert_equal "b", silent.read
        assert_equal 2, begun
        connect(server).close
        assert_equal "c", ask(server, "c")
        assert_equal 3, begun
      end
    end
  end

  def test_what_is_no_server_is_refused
    isolated do
      closed = listener.tap(&:close)
      plain = Socket.new(:INET, :STREAM)
      file = File.open(__FILE__)
      reader, _other = IO.pipe
      Nyario.backend
      before = descriptors
      { nil => TypeError, "127.0.0.1:80" => TypeError, 3.5 => TypeError, :server => TypeError, closed => IOError,
        plain => Errno::EINVAL, file => Errno::ENOTSOCK, reader => Errno::ENOTSOCK, -1 => Errno::EBADF,
        987_654 => Errno::EBADF, 2**31 => RangeError, 2**32 => RangeError, 2**70 => RangeError }.each do |server, error|
        assert_raises(error, server.inspect) { Nyario.register(server, ECHO) }
      end
      assert_operator descriptors, :<=, before
      # None of them is left behind either: the loop has nothing to do.
      assert_nil Nyario.loop
    end
  end

  def test_what_is_no_handler_is_refused
    isolated do
      server = listener
      Nyario.backend
      before = descriptors
      assert_raises(ArgumentError) { Nyario.register(server) }
      assert_raises(ArgumentError) { Nyario.register(server, ECHO) { nil } }
      assert_raises(ArgumentError) { Nyario.register }
      assert_raises(ArgumentError) { Nyario.register(server, ECHO, ECHO) }
      assert_raises(ArgumentError) { Nyario.register(server, ECHO, hasty: true) }
      [nil, 1, :call, "call", Object.new].each do |handler|
        assert_raises(TypeError, handler.inspect) { Nyario.register(server, handler) }
      end
      assert_operator descriptors, :<=, before
      assert_nil Nyario.loop
    end
  end

  def test_a_server_that_is_refused_is_left_open
    isolated do
      plain = Socket.new(:INET, :STREAM)
      assert_raises(Errno::EINVAL) { Nyario.register(plain, ECHO) }
      Nyario.loop
      refute_predicate plain, :closed?
    end
  end

  def test_a_server_is_registered_once
    isolated do
      serving(ECHO) do |server|
        assert_equal "x", ask(server, "x")
      end
      server = listener
      Nyario.register(server, ECHO)
      assert_raises(ArgumentError) { Nyario.register(server, ECHO) }
      Nyario.spawn { Nyario.stop }
      Nyario.loop
    end
  end

  def test_a_server_that_is_closed_accepts_no_more
    isolated do
      server = listener
      port = server.local_address.ip_port
      Nyario.register(server) do |connection|
        text = connection.read
        server.close
        connection.write(text)
      end
      client = Thread.new do
        peer = TCPSocket.new("127.0.0.1", port)
        peer.write("x")
        peer.read
      end
      # It was the only one, so the loop ends with its last connection.
      Nyario.loop
      assert_equal "x", client.value
      assert_raises(Errno::ECONNREFUSED) { TCPSocket.new("127.0.0.1", port) }
    end
  end

  def test_a_closed_servers_number_can_be_another_servers
    isolated do
      first, second = Array.new(2) { listener }
      Nyario.register(second, ->(connection) { connection.write("second") }, eager: true)
      Nyario.register(first, ECHO)
      client = Thread.new do
        texts = [ask(first, "x"), connect(second).read]
        first.close
        others = Array.new(20) { listener }
        texts.push(connect(second).read)
        Nyario.stop
        others.each { |other| refute_predicate other, :closed? }
        texts
      end
      Nyario.loop
      assert_equal %w[x second second], client.value
    end
  end

  def test_two_servers_in_one_loop
    isolated do
      other = listener
      Nyario.register(other) { |connection| connection.write("other #{connection.read}") }
      serving(ECHO) do |server|
        assert_equal "one", ask(server, "one")
        assert_equal "other two", ask(other, "two")
        assert_equal "three", ask(server, "three")
      end
      assert_predicate other, :closed?
    end
  end

  def test_a_server_is_closed_with_its_loop
    isolated do
      before = descriptors
      server = listener
      address = server.local_address
      serving(ECHO, server) { ask(server, "x") }
      assert_predicate server, :closed?
      assert_raises(Errno::ECONNREFUSED) { TCPSocket.new("127.0.0.1", address.ip_port) }
      assert_operator descriptors, :<=, before
    end
  end

  def test_servers_that_nobody_else_knows_are_closed_too
    isolated do
      ports = Array.new(5) do
        server = listener
        Nyario.register(server, ECHO)
        server.local_address.ip_port
      end
      Nyario.spawn { Nyario.stop }
      GC.stress = true
      Nyario.loop
      GC.stress = false
      ports.each { |port| assert_raises(Errno::ECONNREFUSED) { TCPSocket.new("127.0.0.1", port) } }
    end
  end

  def test_registers_inside_the_running_loop
    isolated do
      inner = listener
      handler = lambda do |connection|
        Nyario.register(inner, ECHO) if connection.read == "register"
        connection.write("done")
      end
      serving(handler) do |server|
        assert_equal "done", ask(server, "register")
        assert_equal "inner", ask(inner, "inner")
      end
      assert_predicate inner, :closed?
    end
  end

  def test_one_loop_after_the_other
    isolated do
      before = descriptors
      3.times { |round| serving(ECHO) { |server| assert_equal round.to_s, ask(server, round.to_s) } }
      assert_operator descriptors, :<=, before
    end
  end

  def test_a_loop_in_a_loop_is_refused
    isolated do
      in_loop { assert_raises(RuntimeError) { Nyario.loop } }
    end
  end

  def test_a_loop_without_anything_to_do_ends
    isolated { assert_nil Nyario.loop }
  end

  def test_a_loop_inside_a_fiber
    isolated do
      result = Fiber.new { serving(ECHO) { |server| ask(server, "deep") } }.resume
      assert_equal "deep", result
    end
  end

  private

  # Sends a request and reads until the answer stops coming.
  def ask(server, request)
    socket = server.is_a?(Socket) ? TCPSocket.new("127.0.0.1", server.local_address.ip_port) : connect(server)
    socket.write(request)
    socket.close_write
    socket.read
  ensure
    socket&.close
  end
end
