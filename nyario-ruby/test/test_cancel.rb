# frozen_string_literal: true

require "helper"

class TestCancel < NyarioTest
  def test_it_is_raised_where_the_task_waits
    isolated do
      Nyario.run do
        reader, writer = IO.pipe
        waits = { sleep: -> { Nyario.sleep(60) }, kernel: -> { sleep }, read: -> { reader.readpartial(1) },
                  native: -> { Nyario.read(reader) }, queue: -> { Thread::Queue.new.pop },
                  join: -> { Nyario.spawn { Nyario.sleep(0.2) }.join }, channel: -> { Nyario::Channel.new(0).pop } }
        waits.each do |name, wait|
          error = nil
          task = Nyario.spawn do
            wait.call
          rescue Nyario::Cancelled => error # rubocop:disable Naming/RescuedExceptionsVariableName
            raise
          end
          Nyario.sleep(0.005)
          assert_equal :waiting, task.status, name
          assert_equal true, task.cancel, name
          assert_same task, task.join
          assert_equal :cancelled, task.status, name
          assert_instance_of Nyario::Cancelled, error, name
          assert_same(error, assert_raises(Nyario::Cancelled) { task.value })
          assert_equal false, task.cancel
        end
        writer.close
      end
    end
  end

  def test_ensures_run_and_may_wait
    isolated do
      errors = stderr_of do
        Nyario.run do
          order = []
          task = Nyario.spawn do
            Nyario.sleep(60)
          rescue StandardError
            order << :never
          ensure
            Nyario.sleep(0.01)
            order << :slept
            order << Nyario.spawn { :joined }.value
          end
          Nyario.sleep(0)
          task.cancel
          task.join
          assert_equal %i[slept joined], order
        end
      end
      assert_empty errors
    end
  end

  def test_one_that_has_not_begun_never_runs
    isolated do
      ran = false
      early = Nyario.spawn { ran = true }
      assert_equal :ready, early.status
      early.cancel
      assert_equal :cancelled, early.status
      refute_predicate early, :alive?
      assert_nil early.fiber
      Nyario.run do
        task = Nyario.spawn { ran = true }
        joined = Nyario.spawn { task.join.status }
        task.cancel
        assert_equal :cancelled, joined.value
        assert_raises(Nyario::Cancelled) { early.value }
      end
      refute ran
    end
  end

  def test_one_that_does_not_wait_hears_of_it_at_its_next_wait
    isolated do
      Nyario.run do
        steps = []
        task = Nyario.spawn do
          steps << :begun
          Thread.new { task.cancel }.tap { |thread| Thread.pass while thread.alive? }
          steps << :went_on
          Nyario.sleep(0)
          steps << :never
        end
        task.join
        assert_equal %i[begun went_on], steps
        assert_equal :cancelled, task.status
      end
    end
  end

  def test_one_that_never_waits_again_finishes_and_the_next_on_its_fiber_is_left_alone
    isolated do
      Nyario.run do
        fiber = nil
        task = Nyario.spawn do
          fiber = Fiber.current
          Thread.new { task.cancel }.tap { |thread| Thread.pass while thread.alive? }
          :finished
        end
        assert_equal :finished, task.value
        assert_equal :finished, task.status
        again = Nyario.spawn { Nyario.sleep(0) || Fiber.current }
        assert_same fiber, again.value
      end
    end
  end

  def test_of_oneself_it_comes_at_once
    isolated do
      Nyario.run do
        went_on = false
        task = Nyario.spawn do
          task.cancel
          went_on = true
        end
        task.join
        refute went_on
        assert_equal :cancelled, task.status
        inner = Nyario.spawn do
          Fiber.new { inner.cancel }.resume
          went_on = true
        end
        inner.join
        refute went_on
      end
    end
  end

  def test_of_a_task_that_waits_within_a_fiber_of_its_own
    isolated do
      Nyario.run do
        ended = []
        task = Nyario.spawn do
          Fiber.new do
            Nyario.sleep(60)
          ensure
            ended << :inner
          end.resume
        ensure
          ended << :outer
        end
        Nyario.sleep(0)
        assert_equal :waiting, task.status
        task.cancel
        task.join
        assert_equal %i[inner outer], ended
        assert_equal :cancelled, task.status
      end
    end
  end

  def test_a_write_that_is_under_way_ends_first
    isolated do
      Nyario.run do
        reader, writer = UNIXSocket.pair
        text = "x" * (1 << 22)
        task = Nyario.spawn { Nyario.write(writer, text) }
        Nyario.sleep(0.005)
        task.cancel
        task.join
        assert_equal :cancelled, task.status
        text << "y" # nobody holds it any more
        writer.close
        assert_equal "", reader.read.delete("x")
      end
    end
  end

  def test_it_may_be_refused_and_asked_again
    isolated do
      Nyario.run do
        refusals = 0
        task = Nyario.spawn do
          Nyario.sleep(60)
        rescue Nyario::Cancelled
          (refusals += 1) < 4 ? retry : :gave_in
        end
        Nyario.sleep(0)
        3.times do
          task.cancel
          task.cancel
          Nyario.sleep(0.005)
        end
        # Asked twice before it heard of it, it heard of it once.
        assert_equal 3, refusals
        task.cancel
        assert_equal :gave_in, task.value
        assert_equal :finished, task.status
      end
    end
  end

  def test_a_cancelled_task_that_one_has_asked_is_ones_own_failure
    isolated do
      errors = stderr_of do
        Nyario.run do
          asked = Nyario.spawn { Nyario.sleep(60) }
          asking = Nyario.spawn { asked.value }
          Nyario.sleep(0)
          asked.cancel
          Nyario.sleep(0.005)
          assert_equal :failed, asking.status
        end
      end
      assert_match(/a task failed.*Nyario::Cancelled/m, errors)
    end
  end

  def test_from_another_thread_and_another_loop
    isolated do
      Nyario.run do
        ended = []
        tasks = Array.new(2) do |n|
          Nyario.spawn do
            Nyario.sleep(60)
          ensure
            ended << n
          end
        end
        Nyario.sleep(0)
        Thread.new { tasks[0].cancel }
        Thread.new { Nyario.run { tasks[1].cancel } }
        tasks.each(&:join)
        assert_equal [0, 1], ended.sort
        assert_equal %i[cancelled cancelled], tasks.map(&:status)
      end
    end
  end
end
