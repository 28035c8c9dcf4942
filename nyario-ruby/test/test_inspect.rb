# frozen_string_literal: true

require "helper"

class TestInspect < NyarioTest
  def test_each_fiber_is_told_of
    isolated do
      Nyario.run do
        ours, theirs = UNIXSocket.pair
        gate = Thread::Queue.new
        waits = { read: -> { Nyario.read(ours) }, write: -> { Nyario.write(ours, "x" * (1 << 22)) },
                  sleep: -> { Nyario.sleep(60) }, unblock: -> { gate.pop }, channel: -> { Nyario::Channel.new(0).pop },
                  group: -> { Nyario.group { |group| group.spawn(name: "child") { gate.pop } } },
                  blocking: -> { Nyario.blocking { Thread.stop } }, task: -> { Nyario.spawn { gate.pop }.join } }
        tasks = waits.map { |name, wait| Nyario.spawn(name: name, &wait) }
        Nyario.sleep(0.005)
        told = Nyario.fibers.to_h { |fiber| [fiber[:task], fiber] }
        waits.keys.zip(tasks) do |name, task|
          fiber = told[task]
          assert_equal [name.to_s, :task, :waiting, name], fiber.values_at(:name, :job, :state, :waits_for)
          assert_same task.fiber, fiber[:fiber]
          assert_equal [(ours.fileno if %i[read write].include?(name))], [fiber[:fd]]
          assert_includes 0..60, fiber[:seconds]
        end
        own = Nyario.fibers.find { |fiber| fiber[:fiber].equal?(Fiber.current) }
        assert_equal [:running, nil, nil, nil], own.values_at(:state, :waits_for, :fd, :seconds)
        assert_includes Nyario.fibers.map { |fiber| fiber[:name] }, "child"
        assert_instance_of String, Nyario.fibers.join("\n")
        tasks.each(&:cancel)
        theirs.close
        Nyario.stop
      end
    end
  end

  def test_of_every_kind
    isolated do
      jobs = nil
      handler = lambda do |connection|
        connection.read
        jobs = Nyario.fibers.map { |fiber| [fiber[:job], fiber[:state], fiber[:waits_for]] }
      end
      begun = Thread::Queue.new
      Nyario.after(0.001) { begun << true && Nyario.sleep(60) }
      Nyario.spawn { Fiber.new { Nyario.sleep(60) }.resume }
      Nyario.spawn do
        Fiber.schedule { sleep 60 }
        ready = Nyario.spawn { nil }
        assert_equal(:ready, Nyario.fibers.find { |fiber| fiber[:task].equal?(ready) }[:state])
      end
      serving(handler) do |server|
        peer = connect(server)
        begun.pop
        peer.write("x")
        peer.read
      end
      assert_includes jobs, [:handler, :running, nil]
      assert_includes jobs, %i[timer waiting sleep]
      assert_includes jobs, %i[other waiting sleep]
      assert_includes jobs, %i[scheduled waiting unblock]
      # The task within which the other fiber waits.
      assert_includes jobs, [:task, :waiting, nil]
    end
  end

  def test_stats
    isolated do
      assert_empty Nyario.fibers
      before = Nyario.stats
      assert_equal Nyario.backend.to_sym, before[:backend]
      assert_equal [0, 0, 0, 0], before.values_at(:fibers, :tasks, :timers, :waiting)
      Nyario.run do
        Nyario.spawn { Nyario.sleep(0.01) }
        Nyario.spawn { nil }
        Nyario.every(60) { nil }
        during = Nyario.stats
        assert_equal [3, 3, 1, 2], during.values_at(:fibers, :tasks, :timers, :ready)
        Nyario.sleep(0.002)
        after = Nyario.stats
        assert_equal 2, after[:tasks]
        assert_equal 1, after[:fibers_resting]
        assert_operator after[:turns], :>, before[:turns]
        assert_operator after[:waited], :>, before[:waited]
        assert_equal 2, after[:waiting]
      end
      assert(Nyario.stats.all? { |name, value| name.is_a?(Symbol) && (value.is_a?(Integer) || name == :backend) })
    end
  end
end
