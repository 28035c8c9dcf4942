# frozen_string_literal: true

require "helper"

# What comes to a loop from outside: signals, other threads, and the end.
class TestSignals < NyarioTest
  def after(seconds, &block)
    Thread.new do
      Kernel.sleep seconds
      block.call
    end
  end

  def signal(name)
    Process.kill(name, Process.pid)
  end

  # Runs the block on a thread, once something has begun and this thread waits.
  def once_it_waits(begun)
    loops = Thread.current
    Thread.new do
      begun.pop
      Thread.pass until loops.stop?
      yield
    end
  end

  def test_traps_run_while_the_loop_is_idle
    isolated do
      seen = []
      reader, writer = IO.pipe
      trap(:USR1) do
        seen << 1
        writer << "+"
      end
      trap(:USR2) do
        seen << 2
        Nyario.stop
      end
      Nyario.register(listener) { nil }
      # From another process: no thread of this one runs meanwhile.
      receiver = Process.pid
      sender = fork do
        %i[USR1 USR1 USR2].each do |name|
          Kernel.sleep 0.1
          Process.kill(name, receiver)
          # Two of a kind at once would be one.
          reader.read(1) if name == :USR1
        end
        exit!(0)
      end
      Nyario.loop
      Process.wait(sender)
      assert_equal [1, 1, 2], seen
    end
  end

  def test_many_signals_in_quick_succession
    isolated do
      count = 0
      trap(:USR1) { count += 1 }
      trap(:TERM) { Nyario.stop }
      Nyario.register(listener) { nil }
      parent = Process.pid
      reader, writer = IO.pipe
      Nyario.spawn do
        seen = 0
        loop do
          Nyario.sleep(0.0001)
          now = count
          writer.write("+" * (now - seen)) if now > seen
          seen = now
        end
      end
      # Signals of one number are merged while one is pending, so each is sent when the one before was seen.
      sender = fork do
        500.times do
          Process.kill(:USR1, parent)
          reader.read(1)
        end
        Process.kill(:TERM, parent)
        exit!(0)
      end
      Nyario.loop
      Process.wait(sender)
      assert_equal 500, count
    end
  end

  def test_a_storm_of_signals_loses_no_last_one
    isolated do
      signals = %i[USR1 USR2 WINCH URG CONT ALRM]
      seen = Hash.new(0)
      signals.each { |name| trap(name) { seen[name] += 1 } }
      trap(:TERM) { Nyario.stop }
      serving(->(c) { c.write(c.read) }) do |server|
        20.times do
          before = seen.dup
          signals.each { |name| signal(name) }
          peer = connect(server)
          peer.write("x")
          assert_equal "x", peer.read
          peer.close
          eventually { signals.all? { |name| seen[name] > before.fetch(name, 0) } }
        end
      end
    end
  end

  def test_an_interrupt_ends_the_loop
    %i[idle serving waiting].each do |state|
      isolated do
        before = descriptors
        server = listener
        cleaned, begun = [], Thread::Queue.new
        Nyario.register(server) do |connection|
          loop { connection.read && begun << true }
        rescue SystemCallError => e
          cleaned << e.class
          raise
        end
        case state
        when :idle then Nyario.spawn { begun << true }
        when :serving then peer = connect(server).tap { |socket| socket.write("x") }
        when :waiting
          Nyario.spawn do
            begun << true
            Nyario.sleep(10)
          ensure
            cleaned << :ensured
          end
        end
        once_it_waits(begun) { signal(:INT) }.tap { assert_raises(Interrupt) { Nyario.loop } }.join
        assert_equal({ idle: [], serving: [Errno::ECANCELED], waiting: [:ensured] }[state], cleaned)
        assert_predicate server, :closed?
        peer&.close
        assert_operator descriptors, :<=, before
        in_loop { Nyario.sleep(0.01) }
      end
    end
  end

  def test_an_interrupt_while_a_handler_computes
    isolated do
      server = listener
      ensured, begun = false, Thread::Queue.new
      Nyario.register(server) do |connection|
        connection.read
        begun << true
        loop { nil }
      ensure
        ensured = true
      end
      peer = connect(server)
      peer.write("x")
      Thread.new { begun.pop && signal(:INT) }
      errors = stderr_of { assert_raises(Interrupt) { Nyario.loop } }
      assert ensured
      assert_empty errors
      assert_equal "", peer.read
    end
  end

  def test_interrupts_at_any_moment
    isolated do
      server = nil
      30.times do |round|
        server = listener
        Nyario.register(server) { |connection| connection.write(connection.read) while true }
        clients = Array.new(4) do
          Thread.new do
            socket = connect(server)
            loop do
              socket.write("x")
              break if socket.readpartial(10).empty?
            end
          rescue SystemCallError, IOError
            nil
          end
        end
        begun = Thread::Queue.new
        Nyario.spawn { begun << true }
        Thread.new do
          begun.pop
          Kernel.sleep(0.005 + (round * 0.001))
          signal(:INT)
        end
        assert_empty(stderr_of { assert_raises(Interrupt) { Nyario.loop } })
        clients.each(&:join)
      end
    end
  end

  def test_stop_from_a_trap
    isolated do
      trap(:TERM) { Nyario.stop }
      Nyario.register(listener) { nil }
      after(0.1) { signal(:TERM) }
      assert_nil Nyario.loop
    end
  end

  def test_stop_from_a_thread_a_handler_and_a_task
    isolated do
      Nyario.register(listener) { nil }
      after(0.05) { Nyario.stop }
      assert_nil Nyario.loop
      server = listener
      Nyario.register(server) do |connection|
        connection.read
        assert_nil Nyario.stop
        connection.write("stopped")
      end
      peer = connect(server)
      peer.write("x")
      assert_nil Nyario.loop
      assert_equal "stopped", peer.read
      Nyario.spawn { Nyario.stop }
      Nyario.register(listener) { nil }
      assert_nil Nyario.loop
    end
  end

  def test_stop_before_the_loop_begins
    isolated do
      Nyario.register(listener) { nil }
      Nyario.stop
      assert_nil Nyario.loop
      assert_nil Nyario.stop
      Nyario.register(listener) { nil }
      after(0.05) { Nyario.stop }
      assert_nil Nyario.loop
    end
  end

  def test_stop_reaches_another_threads_loop_from_one_that_has_not_begun
    isolated do
      begun = Queue.new
      thread = Thread.new do
        Nyario.register(listener) { nil }
        Nyario.spawn { begun << true }
        Nyario.loop
        :ended
      end
      Nyario.backend
      begun.pop
      Nyario.stop
      assert_equal :ended, thread.value
    end
  end

  def test_stop_ends_the_callers_own_loop_only
    isolated do
      begun = Queue.new
      other = Thread.new do
        Nyario.register(listener) { nil }
        Nyario.spawn { begun << true }
        Nyario.loop
      end
      begun.pop
      Nyario.spawn { Nyario.stop }
      Nyario.loop
      assert_nil other.join(0.1)
      Nyario.stop
      assert other.join(10)
    end
  end

  def test_killing_an_idle_loops_thread
    isolated do
      before = descriptors
      ensured = after = nil
      begun = Queue.new
      server = listener
      thread = Thread.new do
        Nyario.register(server) { nil }
        Nyario.spawn do
          begun << true
          Nyario.sleep(10)
        ensure
          ensured = true
        end
        Nyario.loop
        after = true
      end
      begun.pop
      thread.kill
      assert thread.join(10)
      assert ensured
      refute after
      assert_predicate server, :closed?
      assert_operator descriptors, :<=, before
    end
  end

  def test_killing_a_thread_whose_handler_computes
    isolated do
      before = descriptors
      log = Queue.new
      server = listener
      thread = Thread.new do
        Nyario.register(server) do |connection|
          connection.read
          log << :computing
          loop { nil }
        ensure
          log << :ensured
        end
        Nyario.loop
        log << :after
      ensure
        log << :outer
      end
      peer = connect(server)
      peer.write("x")
      assert_equal :computing, log.pop
      thread.kill
      assert thread.join(10), "it cannot be killed"
      assert_equal %i[ensured outer], [log.pop, log.pop]
      assert_empty log
      peer.close
      assert_operator descriptors, :<=, before
    end
  end

  def test_killing_a_thread_whose_writer_waits
    isolated do
      text = Random.new(7).bytes(5_000_000)
      pair = UNIXSocket.pair
      thread = Thread.new do
        Nyario.spawn { Nyario.write(pair[0], text) }
        Nyario.spawn { loop { Nyario.sleep(0) } }
        Nyario.loop
      end
      Kernel.sleep 0.1
      thread.kill
      assert thread.join(10)
      text << "free"
    end
  end

  def test_a_handler_that_kills_its_own_thread
    isolated do
      thread = Thread.new do
        Nyario.spawn { Thread.current.kill }
        Nyario.loop
        :after
      end
      assert thread.join(10)
      assert_nil thread.value
    end
  end

  def test_two_threads_with_a_loop_each
    isolated do
      servers = Array.new(2) { listener }
      threads = servers.map.with_index do |server, n|
        Thread.new do
          Nyario.register(server) { |connection| connection.write("#{n}:#{connection.read}") }
          Nyario.loop
          n
        end
      end
      50.times do |m|
        servers.each_with_index do |server, n|
          peer = connect(server)
          peer.write(m.to_s)
          assert_equal "#{n}:#{m}", peer.read
          peer.close
        end
      end
      Nyario.stop
      assert_equal [0, 1], threads.map(&:value)
    end
  end

  def test_a_busy_thread_beside_the_loop
    isolated do
      busy = Thread.new { loop { Array.new(100, &:to_s).join } }
      serving(->(c) { c.write(c.read) }) do |server|
        5.times do |n|
          peer = connect(server)
          peer.write(n.to_s)
          assert_equal n.to_s, peer.read
        end
      end
      busy.kill
    end
  end

  def test_a_trap_that_waits
    isolated do
      reader, writer = IO.pipe
      got = nil
      Nyario.register(listener) { nil }
      trap(:USR1) do
        Nyario.write(writer, "from a trap")
        got = Nyario.read(reader)
        Nyario.sleep(0.01)
        begin
          Nyario.read(reader)
        rescue RuntimeError => e
          got << " and #{e.message}"
        end
        Nyario.stop
      end
      begun = Thread::Queue.new
      Nyario.spawn { begun << true }
      once_it_waits(begun) { signal(:USR1) }
      Nyario.loop
      assert_equal "from a trap and the loop's own fiber cannot wait", got
    end
  end
end
