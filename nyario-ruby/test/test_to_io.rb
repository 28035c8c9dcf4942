# frozen_string_literal: true

require "helper"

# A connection as an IO of Ruby's.
class TestToIo < NyarioTest
  def test_a_socket_of_ruby
    isolated do
      answer = conversation(lambda { |c|
        io = c.to_io
        assert_instance_of TCPSocket, io
        assert_same io, c.to_io
        refute_equal c.fileno, io.fileno
        assert_equal c.peer_address.ip_port, io.peeraddr[1]
        io.write(io.gets.upcase)
        io.readpartial(100)
      }) do |peer|
        peer.write("line\n")
        assert_equal "LINE\n", peer.gets
        peer.write("more")
      end
      assert_equal "more", answer
    end
  end

  def test_a_unix_socket
    isolated do
      Dir.mktmpdir do |dir|
        serving(->(c) { assert_instance_of(UNIXSocket, c.to_io).then { c.to_io.write(c.to_io.gets) } },
                UNIXServer.new("#{dir}/socket")) do |server|
          peer = connect(server)
          peer.write("x\n")
          assert_equal "x\n", peer.read
        end
      end
    end
  end

  # What was received ahead, and what was read too early, comes first; whatever follows comes after it.
  def test_nothing_is_lost
    isolated do
      answer = conversation(lambda { |c|
        first = [c.gets, c.gets]
        # By now the rest has been received, as the second line was waited for.
        Nyario.sleep(0.1)
        io = c.to_io
        io.write("go on\n")
        first + [io.gets, io.gets, io.read]
      }) do |peer|
        peer.write("zero\n")
        Kernel.sleep 0.02
        peer.write("one\ntw")
        Kernel.sleep 0.02
        peer.write("o\nthree\nfo")
        assert_equal "go on\n", peer.gets
        peer.write("ur")
        peer.close_write
      end
      assert_equal ["zero\n", "one\n", "two\n", "three\n", "four"], answer
    end
  end

  def test_what_was_received_ahead_alone
    isolated do
      answer = conversation(lambda { |c|
        first = Array.new(2) { c.read.tap { c.write("+") } }
        Nyario.sleep(0.1)
        io = c.to_io
        io.write("go on\n")
        first + [io.read]
      }) do |peer|
        %w[one two].each do |text|
          Kernel.sleep 0.03
          peer.write(text)
          peer.read(1)
        end
        peer.write("three")
        assert_equal "go on\n", peer.gets
        peer.write("four")
        peer.close_write
      end
      assert_equal %w[one two threefour], answer
    end
  end

  def test_the_connection_goes_on_beside_the_io
    isolated do
      answer = conversation(lambda { |c|
        io = c.to_io
        got = [io.readpartial(3)]
        c.write("a")
        got << c.read(3)
        c.write("b")
        got << io.readpartial(3)
      }) do |peer|
        %w[one two six].each_with_index do |text, index|
          peer.write(text)
          assert_equal %w[a b][index], peer.readpartial(1) if index < 2
        end
      end
      assert_equal %w[one two six], answer
    end
  end

  def test_a_connection_that_ends_takes_its_io_with_it
    isolated do
      io = nil
      conversation(->(c) { c.read && io = c.to_io }) do |peer|
        peer.write("x")
        # The peer hears of it at once, not when the IO is collected.
        assert_equal "", peer.read
      end
      assert_predicate io, :closed?
    end
    isolated do
      conversation(lambda { |c|
        c.read
        c.to_io
        c.close
        assert_predicate c, :closed?
        assert_raises(IOError) { c.to_io }
      }) do |peer|
        peer.write("x")
        assert_equal "", peer.read
      end
    end
  end

  def test_an_io_that_is_closed_takes_the_connection_with_it
    isolated do
      conversation(lambda { |c|
        c.read
        c.to_io.close
        assert_predicate c, :closed?
      }) do |peer|
        peer.write("x")
        assert_equal "", peer.read
      end
    end
  end

  # A line that is read leaves the beginning of the next in the connection, so that the IO is the end of a pump.
  def pumped(&handler)
    conversation(lambda { |c|
      c.gets
      Nyario.sleep(0.02)
      io = c.to_io
      assert_instance_of UNIXSocket, io
      handler.call(c, io)
    }) do |peer|
      peer.write("line\nrest")
      yield_to_peer(peer)
    end
  end

  def yield_to_peer(peer)
    assert_equal 5_000_000, peer.read.count("x")
  end

  def test_what_was_written_to_a_pump_arrives_whatever_ends_it
    [->(_, io) { io.close }, ->(c, _) { c.close }, ->(_, _) {}].each do |ending|
      isolated do
        pumped do |c, io|
          assert_equal "rest", io.readpartial(10)
          io.write("x" * 5_000_000)
          ending.call(c, io)
          true
        end
      end
    end
  end

  def test_a_peer_that_leaves_ends_the_pump
    isolated do
      ended = false
      serving(lambda { |c|
        c.gets
        Nyario.sleep(0.02)
        io = c.to_io
        io.read
        begin
          loop { io.write("x" * 10_000) }
        rescue SystemCallError, IOError
          ended = true
        end
      }) do |server|
        peer = connect(server)
        peer.write("line\nrest")
        Kernel.sleep 0.1
        peer.close
        eventually { ended }
      end
    end
  end

  # It does not block, whatever Ruby does with it.
  def test_an_io_that_waits_leaves_the_loop_to_others
    isolated do
      server = Nyario.listen("127.0.0.1:0") { |c| c.to_io.then { |io| io.write(io.gets * 1_000_000) } }
      in_loop do
        c = Nyario.connect("127.0.0.1:#{server.local_address.ip_port}")
        c.write("12345\n")
        assert_equal "12345\n" * 1_000_000, c.read_exactly(6_000_000)
        server.close
      end
    end
  end

  # The library is loaded by those who need it alone: a large heap makes the tests with the collector at its worst slow.
  def certificate
    require "openssl"
    key = OpenSSL::PKey::RSA.new(2048)
    name = OpenSSL::X509::Name.parse("/CN=localhost")
    made = OpenSSL::X509::Certificate.new
    made.version = 2
    made.serial = 1
    made.subject = made.issuer = name
    made.public_key = key.public_key
    made.not_before = Time.now - 60
    made.not_after = Time.now + 3600
    made.sign(key, OpenSSL::Digest.new("SHA256"))
    [made, key]
  end

  def contexts
    cert, key = certificate
    server = OpenSSL::SSL::SSLContext.new
    server.cert = cert
    server.key = key
    store = OpenSSL::X509::Store.new.tap { |all| all.add_cert(cert) }
    client = OpenSSL::SSL::SSLContext.new
    client.verify_mode = OpenSSL::SSL::VERIFY_PEER
    client.cert_store = store
    [server, client]
  end

  # An echo of TLS, whose server and clients are fibers of one loop.
  def tls_echo(before_server: ->(_) {}, before_client: ->(_) {})
    server_context, client_context = contexts
    text = Random.new(5).bytes(300_000)
    server = Nyario.listen("127.0.0.1:0") do |c|
      before_server.call(c)
      tls = OpenSSL::SSL::SSLSocket.new(c.to_io, server_context)
      tls.sync_close = true
      tls.accept
      while (part = tls.readpartial(20_000))
        tls.write(part)
      end
    rescue EOFError
      tls.close
    end
    in_loop do
      clients = Array.new(5) do
        Nyario.spawn do
          c = Nyario.connect("127.0.0.1:#{server.local_address.ip_port}")
          before_client.call(c)
          tls = OpenSSL::SSL::SSLSocket.new(c.to_io, client_context)
          tls.sync_close = true
          tls.connect
          writer = Nyario.spawn { tls.write(text) }
          got = tls.read(text.bytesize)
          writer.join
          tls.close
          assert_predicate c, :closed?
          got == text
        end
      end
      assert_equal [true] * 5, clients.map(&:value)
      server.close
    end
  end

  def test_tls
    isolated { tls_echo }
  end

  # As mail servers do: the first lines are plain, and what follows them may have come with them.
  def test_tls_after_plain_lines
    isolated do
      greet = lambda do |c|
        assert_equal "STARTTLS\n", c.gets
        c.write("ready\n")
        # The client's hello is received ahead by now.
        Nyario.sleep(0.05)
      end
      ask = lambda do |c|
        c.write("STARTTLS\n")
        assert_equal "ready\n", c.gets
      end
      tls_echo(before_server: greet, before_client: ask)
    end
  end
end
