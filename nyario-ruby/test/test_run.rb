# frozen_string_literal: true

require "helper"

class TestRun < NyarioTest
  def test_returns_the_blocks_value_once_every_task_has_ended
    isolated do
      order = []
      value = Nyario.run do
        Nyario.spawn do
          Nyario.sleep(0.02)
          order << :task
        end
        order << :block
        :value
      end
      assert_equal :value, value
      assert_equal %i[block task], order
      assert_equal 2, Nyario.run { 2 }
    end
  end

  def test_what_was_spawned_before_runs_too
    isolated do
      task = Nyario.spawn { :before }
      assert_equal :before, Nyario.run { task.value }
    end
  end

  def test_what_the_block_raises_ends_the_rest
    isolated do
      ended = []
      errors = stderr_of do
        error = assert_raises(KeyError) do
          Nyario.run do
            Nyario.spawn do
              Nyario.sleep(60)
            ensure
              ended << :task
            end
            Fiber.schedule do
              sleep 60
            ensure
              ended << :fiber
            end
            Nyario.sleep(0)
            raise KeyError, "gone"
          end
        end
        assert_equal "gone", error.message
      end
      assert_equal %i[fiber task], ended.sort
      assert_empty errors
    end
  end

  def test_another_tasks_failure_is_reported_and_ends_nothing
    isolated do
      errors = stderr_of do
        value = Nyario.run do
          Nyario.spawn { raise KeyError, "unheard" }
          Nyario.sleep(0.01)
          :went_on
        end
        assert_equal :went_on, value
      end
      assert_match(/a task failed.*unheard/, errors)
    end
  end

  def test_within_a_loop_it_runs_in_place
    isolated do
      Nyario.run do
        fiber = Fiber.current
        assert_equal 3, Nyario.run { Fiber.current.equal?(fiber) ? 3 : 0 }
        assert_raises(KeyError) { Nyario.run { raise KeyError } }
        assert_equal 5, leave
        Fiber.schedule { assert_equal 4, Nyario.run { Nyario.sleep(0) || 4 } }
      end
    end
  end

  def test_stop_ends_it
    isolated do
      cleaned = false
      value = Nyario.run do
        Nyario.spawn { Nyario.stop }
        Nyario.sleep(60)
      ensure
        cleaned = true
      end
      assert_nil value
      assert cleaned
    end
  end

  def test_an_interrupt_comes_from_it
    isolated do
      assert_raises(Interrupt) do
        Nyario.run do
          Process.kill(:INT, Process.pid)
          Nyario.sleep(60)
        end
      end
      assert_equal 1, Nyario.run { 1 }
    end
  end

  def test_needs_a_block_and_a_fiber
    isolated do
      assert_raises(ArgumentError) { Nyario.run }
      Fiber.set_scheduler(Nyario::Scheduler.new)
      Fiber.schedule { sleep 0 }
      assert_raises(RuntimeError) { Nyario.run { 1 } }
    end
  end

  private

  def leave
    Nyario.run { return 5 }
  end
end
