# frozen_string_literal: true

require "helper"

class TestGc < NyarioTest
  # One of everything: handlers, tasks, inner fibers, writes that wait, sleeps, exceptions.
  def traffic(rounds, size: 300_000)
    text = Random.new(8).bytes(size)
    handler = lambda do |connection|
      lines = Enumerator.new { |yielder| yielder << connection.read while true }
      while (data = lines.next)
        Nyario.sleep(0)
        connection.write("#{data}!", Nyario.spawn { data.upcase }.value)
        connection.write(text) if data == "big"
      end
    end
    serving(handler) do |server|
      rounds.times do |n|
        peers = Array.new(3) { connect(server) }
        peers.each { |peer| peer.write("a#{n}") }
        peers.each { |peer| assert_equal "a#{n}!A#{n}", peer.read(3 + (2 * n.to_s.size)) }
        peers[0].write("big")
        assert_equal "big!BIG#{text}".b, peers[0].read(7 + text.bytesize)
        peers.each(&:close)
      end
    end
  end

  def test_under_stress
    isolated(patience: UNDER_STRESS) do
      GC.stress = true
      traffic(2)
      GC.stress = false
    end
    isolated(patience: UNDER_STRESS) do
      in_loop do
        reader, writer = IO.pipe
        GC.stress = true
        tasks = Array.new(5) { |n| Nyario.spawn { Nyario.sleep(0.01) || n.to_s } }
        failing = Nyario.spawn { Nyario.sleep(0.02) || raise(KeyError, "stressed") }
        assert_raises(KeyError) { failing.value }
        Nyario.write(writer, "a", :b, 3)
        assert_equal "ab3", Nyario.read(reader)
        assert_equal %w[0 1 2 3 4], tasks.map(&:value)
        GC.stress = false
      end
    end
  end

  def test_with_compaction
    skip "this Ruby does not compact" unless GC.respond_to?(:compact)
    isolated do
      Helper.move_objects
      compactor = Thread.new do
        loop do
          GC.compact
          Kernel.sleep 0.005
        end
      end
      traffic(30)
      compactor.kill
      GC.auto_compact = false
    end
  end

  def test_an_embedded_string_that_waits_does_not_move
    skip "this Ruby does not compact" unless GC.respond_to?(:compact)
    isolated do
      in_loop do
        left, right = UNIXSocket.pair
        filler = Random.new(9).bytes(100)
        task = Nyario.spawn { 20_000.times { |n| Nyario.write(left, filler[0, 12] + format("%08d", n)) } && left.close }
        got = +"".b
        while (data = Nyario.read(right, 4000))
          got << data
          GC.compact if rand < 0.02
        end
        task.join
        assert_equal Array.new(20_000) { |n| filler[0, 12] + format("%08d", n) }.join, got
      end
    end
  end

  def test_parked_fibers_are_kept
    isolated do
      reader, writer = IO.pipe
      in_loop do
        # Nothing but the loop knows of these.
        got = []
        50.times do |n|
          Nyario.spawn do
            big = "kept #{n}" * 100
            Fiber.new { Nyario.sleep(0.2) }.resume
            got << big
          end
        end
        Nyario.spawn { got << Nyario.read(reader) }
        Nyario.sleep(0.01)
        5.times { GC.start }
        Array.new(100_000) { +"garbage" }
        GC.start
        Nyario.write(writer, "x")
        Nyario.sleep(0.4)
        assert_equal (Array.new(50) { |n| "kept #{n}" * 100 } << "x").sort, got.sort
      end
    end
  end

  def test_what_has_ended_is_let_go
    isolated do
      count = lambda do |type|
        GC.start
        ObjectSpace.each_object(type).count
      end
      handler = ->(connection) { connection.write(connection.read) }
      5.times do
        serving(handler) do |server|
          20.times do
            peer = connect(server)
            peer.write("x")
            peer.read
            peer.close
          end
        end
        in_loop { Array.new(50) { Nyario.spawn { Nyario.sleep(0) } }.each(&:join) }
      end
      # What a stack still mentions by chance is not counted as lost.
      assert_operator count.(Nyario::Connection), :<, 60
      assert_operator count.(Nyario::Task), :<, 150
      assert_operator count.(Fiber), :<, 150
    end
  end
end
