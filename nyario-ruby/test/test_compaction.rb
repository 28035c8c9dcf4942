# frozen_string_literal: true

require "helper"

# The garbage collector moves whatever it may, at any moment.
class TestCompaction < NyarioTest
  def setup
    GC.auto_compact = GC.auto_compact
  rescue NotImplementedError, NoMethodError
    skip "this Ruby does not compact"
  end

  # Moves every object that can be moved, and checks that nobody was left behind.
  def move_everything
    if RUBY_VERSION < "3.2"
      GC.verify_compaction_references(toward: :empty, double_heap: true)
    else
      GC.verify_compaction_references(toward: :empty, expand_heap: true)
    end
  end

  def test_between_all_kinds_of_waits
    isolated(patience: 60) do
      server = listener
      # Nothing but the loop knows of this handler.
      Nyario.register(server, Class.new { def call(connection) = connection.write("handler #{connection.read}") }.new)
      tasks = Array.new(10) { |n| Nyario.spawn { Nyario.sleep(0.02) || "task #{n}" } }
      seen = []
      Nyario.spawn { seen << Timeout.timeout(5) { sleep(0.03) && "limit" } }
      Nyario.spawn { Timeout.timeout(0.03, KeyError, "too late") { sleep } rescue seen << $!.message }
      queue = Queue.new
      Nyario.spawn { seen << queue.pop }
      mover = Nyario.spawn do
        3.times { sleep 0.005; move_everything }
        queue << "queue"
        peer = connect(server)
        peer.write("x")
        peer.close_write
        seen << peer.read
        move_everything
        sleep 0.03
        move_everything
        tasks.each(&:join)
        Nyario.stop
      end
      move_everything
      Nyario.loop
      move_everything
      refute_predicate mover, :alive?
      assert_equal Array.new(10) { |n| "task #{n}" }, tasks.map(&:value)
      assert_equal ["handler x", "limit", "queue", "too late"], seen.sort
    end
  end

  def test_between_the_waits_of_a_scheduler
    isolated(patience: 60) do
      seen = []
      scheduled do
        10.times { |n| Fiber.schedule { sleep 0.01; seen << "sleep #{n}" } }
        3.times do |n|
          reader, writer = IO.pipe
          Fiber.schedule { seen << reader.read }
          Fiber.schedule { sleep 0.02; writer << "pipe #{n}"; writer.close }
        end
        Fiber.schedule { Timeout.timeout(0.02, KeyError, "too late") { Queue.new.pop } rescue seen << $!.message }
        Fiber.schedule { seen << Thread.new { sleep 0.02; "thread" }.value }
        Fiber.schedule { 5.times { move_everything; sleep 0.005 } }
      end
      expected = Array.new(10) { |n| "sleep #{n}" } + Array.new(3) { |n| "pipe #{n}" } + ["thread", "too late"]
      assert_equal expected.sort, seen.sort
    end
  end

  def test_the_threads_loop_stays_the_threads
    isolated(patience: 60) do
      value = Thread.new do
        task = Nyario.spawn do
          3.times { move_everything && Nyario.sleep(0.001) }
          Nyario.spawn { :inner }.value
        end
        move_everything
        Nyario.loop
        task.value
      end.value
      assert_equal :inner, value
    end
  end

  def test_all_the_time
    isolated(patience: 60) do
      skip "this Ruby loses objects of its own when they move all the time" unless Helper.move_objects
      seen = 0
      scheduled do
        20.times do
          Fiber.schedule do
            left, right = UNIXSocket.pair
            50.times do |n|
              left.write("message #{n}")
              seen += 1 if right.readpartial(100) == "message #{n}"
              Array.new(500) { |m| "garbage #{m}" }
              sleep 0 if (n % 10).zero?
            end
          end
        end
      end
      GC.auto_compact = false
      assert_equal 1000, seen
    end
  end
end
