# frozen_string_literal: true

require "helper"
require "tempfile"

# A fiber that is woken by two at once is woken once.
class TestWakeups < NyarioTest
  # Each writer waits for its queue, which its reader closes when the loop refuses to let both wait any longer.
  def test_what_is_woken_while_the_loop_ends_runs_once
    isolated do
      ended = []
      said = Tempfile.new
      # The loop itself writes past Ruby.
      $stderr.reopen(said)
      2.times do |number|
        queue = Queue.new
        Nyario.spawn do
          Nyario.sleep(60)
        ensure
          queue.close
          ended << [number, :reader]
        end
        Nyario.spawn do
          queue.pop
        ensure
          ended << [number, :writer]
        end
      end
      Nyario.spawn { Nyario.stop }
      Nyario.loop
      assert_empty File.read(said.path)
      assert_equal [[0, :reader], [0, :writer], [1, :reader], [1, :writer]], ended.sort
    end
  end

  # Somebody computes until both sleepers have slept enough; the first then signals the second, whose time is up as well.
  def test_a_signal_that_comes_with_the_time_does_not_end_the_next_wait
    isolated do
      slept = nil
      scheduled do
        mutex, condition = Mutex.new, ConditionVariable.new
        Fiber.schedule do
          mutex.synchronize { condition.wait(mutex, 0.02) }
          begun = now
          sleep(0.1)
          slept = now - begun
        end
        Fiber.schedule do
          sleep(0.01)
          condition.signal
          # With this one parked, it is the other's turn at once.
          sleep(0.01)
        end
        Fiber.schedule do
          begun = now
          nil until now - begun > 0.04
        end
      end
      assert_operator slept, :>=, 0.1
    end
  end
end
