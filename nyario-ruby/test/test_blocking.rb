# frozen_string_literal: true

require "helper"

class TestBlocking < NyarioTest
  def test_the_fiber_waits_and_the_loop_goes_on
    isolated do
      Nyario.run do
        gate = Thread::Queue.new
        steps = []
        task = Nyario.spawn { Nyario.blocking { [gate.pop, Thread.current, Fiber.current_scheduler] } }
        Nyario.sleep(0.002)
        assert_equal :waiting, task.status
        steps << :loop_went_on
        gate << :opened
        value, thread, scheduler = task.value
        assert_equal :opened, value
        refute_same Thread.current, thread
        assert_nil scheduler
      end
    end
  end

  def test_what_it_raises
    isolated do
      Nyario.run do
        error = assert_raises(KeyError) { Nyario.blocking { raise KeyError, "there" } }
        assert_includes error.backtrace.join, File.basename(__FILE__)
        assert_raises(SystemExit) { Nyario.blocking { exit 1 } }
        assert_raises(UncaughtThrowError) { catch(:out) { Nyario.blocking { throw :out } } }
        assert_raises(LocalJumpError) { leave_by_return }
        assert_equal 1, Nyario.blocking { 1 }
      end
    end
  end

  def test_there_are_only_so_many_threads_and_they_are_used_again
    isolated do
      Nyario.run do
        gate = Thread::Queue.new
        tasks = Array.new(40) { |n| Nyario.spawn { Nyario.blocking { gate.pop && [n, Thread.current] } } }
        Nyario.sleep(0.001) until gate.num_waiting == 16
        assert_equal 16, Nyario.stats[:threads]
        assert_equal 24, Nyario.stats[:blocking_queued]
        40.times { gate << true }
        values = tasks.map(&:value)
        assert_equal (0...40).to_a, values.map(&:first)
        assert_equal 16, values.map(&:last).uniq.size
        Nyario.sleep(0.001) until Nyario.stats[:threads_idle] == 16
        assert_includes values.map(&:last), Nyario.blocking { Thread.current }
      end
    end
  end

  def test_a_fiber_that_is_interrupted_goes_on
    isolated do
      errors = stderr_of do
        Nyario.run do
          gate = Thread::Queue.new
          ran = []
          busy = Array.new(16) { Nyario.spawn { Nyario.blocking { gate.pop && ran << :begun } } }
          Nyario.sleep(0.001) until gate.num_waiting == 16
          waiting = Nyario.spawn { Nyario.blocking { ran << :never } }
          Nyario.sleep(0)
          [waiting, busy[0]].each(&:cancel).each(&:join)
          assert_equal %i[cancelled cancelled], [waiting.status, busy[0].status]
          assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.001) { Nyario.blocking { ran << :never } } }
          16.times { gate << true }
          busy.drop(1).each(&:join)
          Nyario.sleep(0.001) until Nyario.stats[:threads_idle] == 16
          assert_equal [:begun] * 16, ran
          late = Nyario.spawn { Nyario.blocking { gate.pop && raise(KeyError, "late") } }
          Nyario.sleep(0.001) until gate.num_waiting == 1
          late.cancel
          late.join
          gate << true
          Nyario.sleep(0.001) until Nyario.stats[:threads_idle] == 16
        end
      end
      assert_match(/a fiber that has gone on failed.*late/, errors)
    end
  end

  def test_elsewhere_it_runs_in_place
    isolated do
      thread = Thread.current
      assert_same(thread, Nyario.blocking { Thread.current })
      Nyario.run { assert_equal 1, Nyario.blocking { Nyario.blocking { 1 } } }
      Fiber.set_scheduler(Nyario::Scheduler.new)
      other = nil
      Fiber.schedule { other = Nyario.blocking { Thread.current } }
      Fiber.set_scheduler(nil)
      refute_same thread, other
      assert_raises(ArgumentError) { Nyario.blocking }
    end
  end

  def test_a_thread_of_it_that_is_killed_and_a_loop_that_ends
    isolated do
      Nyario.run do
        error = assert_raises(RuntimeError) { Nyario.blocking { Thread.current.kill } }
        assert_match(/killed/, error.message)
        assert_equal 2, Nyario.blocking { 2 }
      end
      gate = Thread::Queue.new
      Nyario.spawn { assert_raises(Errno::ECANCELED) { Nyario.blocking { gate.pop } } }
      Nyario.spawn { Nyario.sleep(0.002) || Nyario.stop }
      Nyario.loop
      gate << true
      assert_equal(3, Nyario.run { Nyario.blocking { 3 } })
    end
  end

  def test_a_forked_child_starts_afresh
    isolated do
      Nyario.run { Nyario.blocking { nil } }
      child = fork { exit!(Nyario.run { Nyario.blocking { 7 } } == 7) }
      assert_predicate Process.wait2(child).last, :success?
      assert_equal(8, Nyario.run { Nyario.blocking { 8 } })
    end
  end

  private

  def leave_by_return
    Nyario.blocking { return 1 }
  end
end
