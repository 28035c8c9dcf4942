# frozen_string_literal: true

require_relative "helper"
require "io/wait"
require "monitor"
require "open3"

# What befalls a scheduler in production: signals, threads that are killed, forks, the garbage collector, and whatever is
# raised or closed from elsewhere.
class SchedulerLifeTest < Minitest::Test
  include Helper

  def test_a_child_that_is_forked_in_a_fiber_lives_its_own_life
    isolated do
      statuses = []
      scheduled do
        Fiber.schedule { statuses << Process.wait2(fork { exit!(3) })[1].exitstatus }
        Fiber.schedule do
          child = fork do
            Fiber.set_scheduler(Nyario::Scheduler.new)
            Fiber.schedule { sleep 0.01; exit!(4) }
            Fiber.scheduler.run
          end
          statuses << Process.wait2(child)[1].exitstatus
        end
        Fiber.schedule { sleep 0.05; statuses << :parent }
      end
      assert_equal %w[3 4 parent], statuses.map(&:to_s).sort
    end
  end

  def test_pipes_to_other_programs
    isolated do
      seen = []
      scheduled do
        Fiber.schedule { seen << IO.popen("cat", "r+") { |io| io.write("one"); io.close_write; io.read } }
        Fiber.schedule { seen << Open3.capture2("cat", stdin_data: "two").first }
      end
      assert_equal %w[one two], seen.sort
    end
  end

  def test_any_child_and_all_children
    isolated do
      seen = []
      scheduled do
        Fiber.schedule do
          fork { sleep 0.02; exit!(5) }
          Process.wait
          seen << $?.exitstatus
          2.times { |n| fork { exit!(n) } }
          seen << Process.waitall.map { |_, status| status.exitstatus }.sort
        end
      end
      assert_equal [5, [0, 1]], seen
    end
  end

  def test_what_is_raised_in_a_fiber_arrives_where_it_waits
    isolated do
      seen = []
      scheduled do
        reader, _writer = IO.pipe
        waits = [-> { sleep }, -> { reader.read }, -> { Queue.new.pop }, -> { reader.wait_readable }]
        fibers = waits.map do |wait|
          Fiber.schedule do
            wait.call
          rescue RuntimeError => error
            seen << error.message
          end
        end
        Fiber.schedule { fibers.each { |fiber| fiber.raise("up") } }
      end
      assert_equal %w[up up up up], seen
    end
  end

  def test_closing_wakes_whoever_reads
    isolated do
      seen = []
      scheduled do
        ends = [IO.pipe, UNIXSocket.pair]
        ends.each do |reader, _|
          Fiber.schedule do
            reader.read(1)
          rescue IOError => error
            seen << error.class
          end
        end
        Fiber.schedule { sleep 0.01; ends.each { |reader, _| reader.close } }
      end
      assert_equal [IOError, IOError], seen
    end
  end

  def test_several_fibers_wait_for_one_pipe
    isolated do
      seen = 0
      scheduled do
        reader, writer = IO.pipe
        3.times { Fiber.schedule { reader.wait_readable; seen += 1 } }
        Fiber.schedule { writer << "x" }
      end
      assert_equal 3, seen
    end
  end

  def test_waiting_has_its_limits
    isolated do
      seen = nil
      scheduled do
        reader, writer = IO.pipe
        Fiber.schedule do
          seen = [reader.wait_readable(0.01), reader.wait_readable(0), writer.wait_writable(0)]
          assert_same writer, seen.pop
        end
      end
      assert_equal [nil, nil], seen
    end
  end

  def test_a_killed_thread_ends
    isolated do
      thread = Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { sleep }
      end
      sleep 0.05
      thread.kill
      assert_same thread, thread.join(10)
    end
  end

  def test_what_is_raised_in_the_thread_ends_it
    isolated do
      begun = Queue.new
      thread = Thread.new do
        Thread.current.report_on_exception = false
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { begun << true && sleep }
      end
      begun.pop
      Thread.pass until thread.stop?
      thread.raise("enough")
      assert_equal "enough", assert_raises(RuntimeError) { thread.join(10) }.message
    end
  end

  def test_signals_run_their_handlers_and_interrupts_end_the_run
    isolated do
      seen = 0
      trap(:USR1) { seen += 1 }
      Fiber.set_scheduler(Nyario::Scheduler.new)
      Fiber.schedule { sleep }
      Thread.new do
        3.times { |n| Process.kill(:USR1, $$); sleep 0.001 until seen == n + 1 }
        Process.kill(:INT, $$)
      end
      assert_raises(Interrupt) { Fiber.scheduler.run }
      assert_equal 3, seen
    end
  end

  def test_an_exit_in_a_fiber_is_the_process
    isolated do
      child = fork do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { sleep 0.01; exit 7 }
      end
      assert_equal 7, Process.wait2(child)[1].exitstatus
    end
  end

  def test_monitors_and_bounded_queues
    isolated do
      seen = []
      count = 0
      scheduled do
        monitor, queue = Monitor.new, SizedQueue.new(1)
        5.times { Fiber.schedule { monitor.synchronize { before = count; sleep 0.001; count = before + 1 } } }
        Fiber.schedule { 5.times { |n| queue << n }; queue << nil }
        Fiber.schedule do
          while (n = queue.pop)
            seen << n
          end
        end
      end
      assert_equal [0, 1, 2, 3, 4], seen
      assert_equal 5, count
    end
  end

  def test_the_garbage_collector_at_its_worst
    isolated do
      done = 0
      Helper.move_objects
      scheduled do
        50.times do
          Fiber.schedule do
            left, right = UNIXSocket.pair
            left.write("x" * 100)
            sleep 0.001
            done += right.readpartial(200).size
          end
        end
      end
      scheduled do
        GC.stress = true
        queue = Queue.new
        3.times { |n| Fiber.schedule { queue << Timeout.timeout(10) { sleep 0.001; n } } }
        Fiber.schedule { 3.times { done += queue.pop } }
      end
      GC.stress = false
      assert_equal 5_003, done
    end
  end

  def test_loops_in_several_threads
    isolated do
      counts = Array.new(4) do
        Thread.new do
          count = 0
          Fiber.set_scheduler(Nyario::Scheduler.new)
          25.times { |n| Fiber.schedule { sleep 0.0005 * n; count += 1 } }
          Fiber.set_scheduler(nil)
          count
        end
      end
      assert_equal [25] * 4, counts.map(&:value)
    end
  end

  def test_a_scheduler_can_be_set_again_but_not_by_another_thread
    isolated do
      scheduler = Nyario::Scheduler.new
      seen = []
      Thread.new do
        2.times do |n|
          Fiber.set_scheduler(scheduler)
          Fiber.schedule { sleep 0.001; seen << n }
          Fiber.set_scheduler(nil)
        end
        Fiber.set_scheduler(scheduler)
        Fiber.schedule { sleep 0.1 }
        other = Thread.new do
          Thread.current.report_on_exception = false
          Fiber.set_scheduler(scheduler)
          Fiber.schedule { seen << :wrong }
        end
        assert_match(/another thread/, assert_raises(RuntimeError) { other.value }.message)
      end.join
      assert_equal [0, 1], seen
    end
  end

  def test_it_goes_together_with_the_rest_of_nyario
    isolated do
      seen = []
      scheduled do
        left, right = UNIXSocket.pair
        Fiber.schedule { seen << Nyario.read(left) }
        Fiber.schedule { Nyario.sleep(0.001); Nyario.write(right, "native") }
      end
      task = Nyario.spawn do
        Fiber.schedule { sleep 0.001; seen << :scheduled }
        sleep 0.005
        :task
      end
      Nyario.loop
      assert_equal ["native", :scheduled, :task], seen << task.value
    end
  end
end
