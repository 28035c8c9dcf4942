# frozen_string_literal: true

require "helper"

class TestTimer < NyarioTest
  def test_after_runs_once_and_the_loop_waits_for_it
    isolated do
      ran = []
      early = Nyario.after(0.01) { ran << Fiber.current }
      assert_predicate early, :active?
      Nyario.run do
        Nyario.after(0.002) { ran << :first }
        Nyario.after(0) { ran << :at_once }
      end
      # Whoever is slow between the lines above has the earlier one run first.
      assert_equal %i[at_once first], ran.grep(Symbol).sort
      assert_instance_of Fiber, (ran - %i[at_once first]).first
      assert_equal 3, ran.size
      refute_predicate early, :active?
      assert_equal false, early.cancel
    end
  end

  def test_every_keeps_its_times_and_never_overlaps_itself
    isolated do
      Nyario.run do
        begun = []
        inside = 0
        began = now
        timer = Nyario.every(0.01) do
          begun << now
          inside += 1
          assert_equal 1, inside
          # The second call takes longer than two intervals.
          Nyario.sleep(begun.size == 2 ? 0.025 : 0)
          inside -= 1
        end
        Nyario.sleep(0.002) until begun.size >= 5
        assert timer.cancel
        refute timer.cancel
        # None comes before its time on the grid of the beginning, and those that the second overlapped are not made up for.
        [1, 2, 5, 6, 7].zip(begun) { |time, moment| assert_operator moment - began, :>=, time * 0.01 }
      end
    end
  end

  def test_the_loop_does_not_wait_for_every
    isolated do
      Nyario.run { Nyario.every(60) { nil } }
      cleaned = false
      Nyario.run do
        Nyario.every(0.001) do
          Nyario.sleep(0.02)
          cleaned = true
        end
        Nyario.sleep(0.01)
      end
      # A call that had begun ended.
      assert cleaned
    end
  end

  def test_it_is_cancelled_from_within_from_without_and_from_another_thread
    isolated do
      Nyario.run do
        count = 0
        timer = Nyario.every(0.001) do
          count += 1
          assert_equal true, timer.cancel if count == 3
          refute_predicate timer, :active? if count == 3
        end
        Nyario.sleep(0.001) while timer.active?
        Nyario.sleep(0.005)
        assert_equal 3, count
        never = [Nyario.after(0.005) { count = :never }, Nyario.every(0.005) { count = :never }]
        assert_equal [true, true], never.map(&:cancel)
        Nyario.sleep(0.01)
        assert_equal 3, count
      end
      # The loop has nothing else to wait for, and would for an hour.
      timer = Nyario.after(3600) { nil }
      cancelled = Thread.new do
        Kernel.sleep(0.01)
        timer.cancel
      end
      Nyario.loop
      assert_equal true, cancelled.value
      refute_predicate timer, :active?
    end
  end

  def test_what_it_raises_is_reported_and_the_next_comes
    isolated do
      errors = stderr_of do
        Nyario.run do
          count = 0
          timer = Nyario.every(0.001) do
            timer.cancel if (count += 1) == 3
            raise KeyError, "call #{count}"
          end
          Nyario.after(0.002) { raise IndexError, "once" }
          Nyario.sleep(0.001) while timer.active?
        end
      end
      assert_equal 4, errors.scan("a timer failed").size, errors
      assert_match(/call 1.*call 2.*call 3/m, errors)
      assert_match(/once/, errors)
    end
  end

  def test_many
    isolated do
      Nyario.run do
        ran = 0
        timers = Array.new(2000) { |n| Nyario.after(rand / 50) { ran += 1 if n.even? || flunk } }
        timers.each_with_index { |timer, n| timer.cancel if n.odd? }
        GC.start
        assert_equal 1000, Nyario.stats[:timers]
        Nyario.sleep(0.001) while Nyario.stats[:timers].positive?
        assert_equal 1000, ran
      end
    end
  end

  def test_nobody_else_has_to_hold_them
    isolated do
      ran = []
      begin_after(ran, 100)
      Nyario.run do
        GC.start
        Array.new(20_000) { |n| "other #{n}" }
        Nyario.sleep(0)
      end
      assert_equal (0...100).to_a, ran.sort
    end
  end

  def test_with_fibers_of_a_scheduler
    isolated do
      ran = []
      Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { Nyario.after(0.005) { ran << :timer } && ran << :fiber }
      end.join
      assert_equal %i[fiber timer], ran
    end
  end

  def test_the_end_of_the_loop
    isolated do
      ran = false
      timer = Nyario.after(60) { ran = true }
      Nyario.spawn { Nyario.stop }
      Nyario.loop
      refute ran
      refute_predicate timer, :active?
      assert_equal false, timer.cancel
      GC.start
      assert_raises(ArgumentError) { Nyario.after(1) }
      assert_raises(ArgumentError) { Nyario.after(-1) { nil } }
      assert_raises(ArgumentError) { Nyario.every(0) { nil } }
      assert_raises(TypeError, NoMethodError) { Nyario::Timer.new }
    end
  end

  private

  def begin_after(ran, count)
    count.times { |n| Nyario.after(0.005) { ran << n } }
  end
end
