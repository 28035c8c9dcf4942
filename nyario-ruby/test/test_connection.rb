# frozen_string_literal: true

require "helper"

class TestConnection < NyarioTest
  def test_reads_what_is_there
    isolated do
      parts = conversation(->(c) { [c.read(3), c.read(2), c.read(100), c.read, c.read, c.read(5)] }) do |peer|
        peer.write("abcdefgh")
        peer.close_write
      end
      assert_equal ["abc", "de", "fgh", nil, nil, nil], parts
    end
  end

  def test_waits_for_more
    isolated do
      handler = lambda do |connection|
        got = +""
        while (data = connection.read(4))
          assert_operator data.bytesize, :<=, 4
          got << data
          connection.write("+" * data.bytesize)
        end
        got
      end
      parts = Array.new(20) { |n| "part #{n};" }
      got = conversation(handler) do |peer|
        parts.each do |part|
          peer.write(part)
          assert_equal "+" * part.bytesize, peer.read(part.bytesize)
        end
        peer.close_write
      end
      assert_equal parts.join, got
    end
  end

  def test_one_read_brings_no_more_than_a_buffer_full
    isolated do
      sizes = conversation(->(c) { [c.read(10_000_000), c.read(nil)].map(&:bytesize).tap { nil while c.read } }) do |peer|
        peer.write("x" * 1_000_000)
        peer.close_write
      end
      sizes.each { |size| assert_includes 1..65_536, size }
    end
  end

  def test_what_is_read_is_binary
    isolated do
      bytes = (0..255).map(&:chr).join.b
      data = conversation(->(c) { c.read }) { |peer| peer.write(bytes) }
      assert_equal bytes, data
      assert_equal Encoding::BINARY, data.encoding
      refute_predicate data, :frozen?
      data = conversation(lambda { |c|
        c.read(1)
        Nyario.sleep(0.05)
        c.read
      }) { |peer| peer.write("äöü") }
      assert_equal "äöü".b[1..], data
      assert_equal Encoding::BINARY, data.encoding
    end
  end

  def test_lengths_that_make_no_sense_are_refused
    isolated do
      handler = lambda do |connection|
        [0, -1, -(2**40)].each { |length| assert_raises(ArgumentError) { connection.read(length) } }
        assert_raises(RangeError) { connection.read(2**80) }
        ["1", :one, Object.new].each { |length| assert_raises(TypeError) { connection.read(length) } }
        assert_raises(TypeError) { connection.read(1, 2) }
        assert_raises(ArgumentError) { connection.read(1, +"", 3) }
        connection.read
      end
      assert_equal "kept", conversation(handler) { |peer| peer.write("kept") }
    end
  end

  def test_the_peers_half_close_is_the_end_of_the_data_only
    isolated do
      conversation(->(c) { [c.read, c.read, c.write("still there")] }) do |peer|
        peer.write("question")
        peer.close_write
        assert_equal "still there", peer.read
      end
    end
  end

  def test_closing
    isolated do
      before = descriptors
      kept = nil
      handler = lambda do |connection|
        kept = connection
        refute_predicate connection, :closed?
        number = connection.fileno
        assert_equal "bye", connection.read
        assert_nil connection.close
        assert_predicate connection, :closed?
        assert_nil connection.close
        refute_path_exists "/proc/self/fd/#{number}"
        assert_refused(connection)
        :closed
      end
      assert_equal(:closed, conversation(handler) do |peer|
        peer.write("bye")
        assert_equal "", peer.read
      end)
      assert_predicate kept, :closed?
      assert_nil kept.close
      assert_refused(kept)
      assert_operator descriptors, :<=, before
    end
  end

  def test_a_connection_does_not_outlive_its_handler_even_if_its_number_does
    isolated do
      first = number = nil
      handler = lambda do |connection|
        unless first
          first = connection
          number = connection.fileno
          next connection.write(connection.read)
        end
        assert_equal number, connection.fileno
        assert_predicate first, :closed?
        assert_refused(first)
        first.close
        connection.write(connection.read)
      end
      serving(handler) do |server|
        2.times do
          peer = connect(server)
          peer.write("x")
          assert_equal "x", peer.read
          peer.close
        end
      end
    end
  end

  def test_a_connection_does_not_outlive_its_loop_even_if_its_number_does
    isolated do
      kept = {}
      met = 0
      keep = lambda do |connection|
        kept[connection.fileno] = connection
        connection.write(connection.read)
      end
      meet = lambda do |connection|
        if (old = kept[connection.fileno])
          met += 1
          assert_refused(old)
          old.close
        end
        connection.write(connection.read)
      end
      # The peers' numbers are those of another process, so that the server's are the same in both loops.
      [keep, meet].each do |handler|
        serving(handler) do |server|
          client = fork { exit!(knock(server)) }
          assert_predicate Process.wait2(client).last, :success?
        end
      end
      assert_operator met, :>, 0
    end
  end

  def test_closing_from_another_fiber_ends_a_read
    isolated do
      result = conversation(lambda { |c|
        c.read
        Nyario.spawn { c.close }
        begin
          c.read
        rescue IOError => e
          e
        end
      }) do |peer|
        peer.write("x")
        assert_equal "", peer.read
      end
      assert_instance_of IOError, result
    end
  end

  def test_closing_from_another_fiber_ends_a_write
    isolated do
      ended = Thread::Queue.new
      result = conversation(lambda { |c|
        c.read
        Nyario.spawn do
          Nyario.sleep(0.05)
          c.close
        end
        begin
          c.write("x" * 20_000_000)
        rescue IOError => e
          e
        ensure
          ended << true
        end
      }) do |peer|
        peer.write("x")
        ended.pop
      end
      assert_instance_of IOError, result
    end
  end

  def test_another_threads_connection_is_out_of_reach
    isolated do
      conversation(lambda { |c|
        c.read
        Thread.new { assert_refused(c) }.join
        c.write("still here")
      }) do |peer|
        peer.write("x")
        assert_equal "still here", peer.readpartial(100)
      end
    end
  end

  def test_a_reset_ends_the_handler_quietly
    isolated do
      ended = false
      handler = lambda do |connection|
        connection.read
        connection.write("go")
        assert_raises(Errno::ECONNRESET) { connection.read }
        connection.read
      rescue Errno::ECONNRESET
        raise
      ensure
        ended = true
      end
      assert_empty(stderr_of do
        serving(handler) do |server|
          peer = connect(server)
          peer.write("x")
          assert_equal "go", peer.readpartial(2)
          reset(peer)
          eventually { ended }
        end
      end)
    end
  end

  def test_a_peer_that_is_gone_ends_the_handler_quietly
    isolated do
      failure = nil
      handler = lambda do |connection|
        next connection.write("fine") if connection.read == "ask"

        loop { connection.write("x" * 10_000) }
      rescue SystemCallError => e
        failure = e
        raise
      end
      assert_empty(stderr_of do
        serving(handler) do |server|
          peer = connect(server)
          peer.write("x")
          peer.close
          eventually { failure }
          assert_includes [Errno::EPIPE, Errno::ECONNRESET], failure.class
          assert_equal "fine", echo(server, "ask")
        end
      end)
    end
  end

  def test_a_failing_handler_is_reported_and_the_loop_goes_on
    isolated do
      before = descriptors
      handler = lambda do |connection|
        case connection.read
        when "fail" then raise "on purpose"
        when "script" then raise NotImplementedError, "not yet"
        when "errno" then raise Errno::ENOENT, "somewhere"
        when "deep" then dive
        when "throw" then throw :nobody
        else connection.write("fine")
        end
      end
      errors = stderr_of do
        serving(handler) do |server|
          %w[fail script errno deep throw].each do |request|
            peer = connect(server)
            peer.write(request)
            assert_equal "", peer.read, request
            peer.close
            assert_equal "fine", echo(server)
          end
        end
      end
      assert_equal 5, errors.scan("a handler failed").size, errors
      assert_match(/on purpose.*RuntimeError/, errors)
      assert_match(/#{File.basename(__FILE__)}:\d+:in .*test_a_failing_handler/, errors)
      assert_match(/NotImplementedError/, errors)
      assert_match(/somewhere/, errors)
      assert_match(/SystemStackError/, errors)
      assert_match(/uncaught throw :nobody/, errors)
      assert_operator descriptors, :<=, before
    end
  end

  def test_break_and_return_out_of_a_handler_are_failures_of_that_handler
    isolated do
      errors = stderr_of do
        server = listener
        leaving(server)
        client = Thread.new do
          answers = %w[break return next].map { |request| echo(server, request) }
          Nyario.stop
          answers
        end
        Nyario.loop
        assert_equal ["", "", ""], client.value
      end
      assert_equal 2, errors.scan("a handler failed").size, errors
      assert_match(/break from proc-closure.*LocalJumpError/, errors)
      assert_match(/unexpected return.*LocalJumpError/, errors)
    end
  end

  def test_an_exit_ends_the_loop_and_what_else_it_runs
    { SystemExit => -> { exit 7 }, Interrupt => -> { raise Interrupt }, NoMemoryError => -> { raise NoMemoryError },
      SecurityError => -> { raise SecurityError }, SignalException => -> { raise SignalException, "HUP" } }
      .each do |error, leave|
      isolated do
        before = descriptors
        other = []
        handler = lambda do |connection|
          leave.call if connection.read == "leave"
          begin
            connection.read
          rescue SystemCallError => e
            other << e.class
            raise
          end
        end
        server = listener
        Nyario.register(server, handler)
        bystander = connect(server)
        bystander.write("stay")
        peer = connect(server)
        leaver = Thread.new do
          Kernel.sleep 0.1
          peer.write("leave")
        end
        errors = stderr_of { assert_raises(error) { Nyario.loop } }
        leaver.join
        assert_empty errors
        assert_equal [Errno::ECANCELED], other
        assert_equal "", bystander.read
        [bystander, peer].each(&:close)
        assert_operator descriptors, :<=, before
        serving(->(c) { c.write(c.read) }) { |again| assert_equal "x", echo(again) }
      end
    end
  end

  def test_deep_recursion_in_a_handler
    isolated do
      depth = conversation(->(c) { [c.read, descend(500)].last }) { |peer| peer.write("x") }
      assert_equal 500, depth
    end
  end

  def test_many_connections_at_once
    isolated do
      serving(->(c) { c.write(c.read) }) do |server|
        2.times do |round|
          peers = Array.new(1500) { connect(server) }
          peers.each_with_index { |peer, n| peer.write("#{round}/#{n}") }
          peers.each_with_index { |peer, n| assert_equal "#{round}/#{n}", peer.read }
          peers.each(&:close)
        end
      end
    end
  end

  def test_has_no_constructor
    assert_raises(TypeError) { Nyario::Connection.new }
    assert_raises(TypeError) { Nyario::Connection.allocate }
  end

  private

  def leaving(server)
    Nyario.register(server) do |connection|
      case connection.read
      when "break" then break
      when "return" then return # rubocop:disable Lint/NonLocalExitFromIterator
      else next
      end
    end
  end

  # Whether twenty peers at a time are all answered.
  def knock(server)
    peers = Array.new(20) { connect(server).tap { |peer| peer.write("x") } }
    peers.all? { |peer| peer.read == "x" }
  end

  def dive
    dive + 1
  end

  def descend(depth)
    return 0 if depth.zero?

    Nyario.sleep(0) if (depth % 50).zero?
    1 + descend(depth - 1)
  end

  def assert_refused(connection)
    assert_raises(IOError) { connection.read }
    assert_raises(IOError) { connection.write("x") }
    assert_raises(IOError) { connection.fileno }
    assert_raises(IOError) { Nyario.read(connection) }
  end

  def reset(peer)
    peer.setsockopt(:SOCKET, :LINGER, [1, 0].pack("ii"))
    peer.close
  end

  def echo(server, text = "x")
    peer = connect(server)
    peer.write(text)
    peer.close_write
    peer.read
  ensure
    peer.close
  end
end
