# frozen_string_literal: true

require "helper"

class TestSleep < NyarioTest
  def test_sleeps_at_least_that_long
    body = lambda do
      [0, 0.0, -0.0, 0.01, 0.0000001, Rational(1, 50)].each do |seconds|
        before = now
        assert_nil Nyario.sleep(seconds)
        assert_operator now - before, :>=, seconds
      end
      before = now
      Nyario.sleep(1)
      assert_operator now - before, :>=, 1
    end
    isolated(&body)
    isolated { in_loop(&body) }
  end

  def test_wakes_in_the_order_of_the_times
    isolated do
      order = in_loop do
        begun_together(0.03) do
          order = []
          tasks = [0.09, 0.03, 0.06, 0, 0.12].map { |seconds| Nyario.spawn { Nyario.sleep(seconds) || order << seconds } }
          # Every one of them has begun to sleep.
          Nyario.sleep(0)
          -> { tasks.each(&:join) && order }
        end
      end
      assert_equal [0, 0.03, 0.06, 0.09, 0.12], order
    end
  end

  def test_zero_gives_way
    isolated do
      order = []
      2.times do |n|
        Nyario.spawn do
          3.times do
            order << n
            Nyario.sleep(0)
          end
        end
      end
      Nyario.loop
      assert_equal [0, 1, 0, 1, 0, 1], order
    end
  end

  def test_times_that_make_no_sense
    body = lambda do
      [-1, -0.001, -Float::INFINITY, Float::NAN].each do |seconds|
        assert_raises(ArgumentError, seconds.to_s) { Nyario.sleep(seconds) }
      end
      [nil, "1", :long, Object.new].each do |seconds|
        assert_raises(TypeError, seconds.inspect) { Nyario.sleep(seconds) }
      end
      assert_raises(ArgumentError) { Nyario.sleep }
    end
    isolated(&body)
    isolated { in_loop(&body) }
  end

  def test_times_beyond_any_clock
    [1e9, 1e30, Float::MAX, Float::INFINITY, 2**200].each do |seconds|
      isolated do
        woken = :never
        Nyario.spawn do
          Nyario.sleep(seconds)
          woken = :early
        rescue SystemCallError => e
          woken = e.class
          raise
        end
        Nyario.spawn do
          Nyario.sleep(0.05)
          Nyario.stop
        end
        assert_empty(stderr_of { Nyario.loop })
        assert_equal Errno::ECANCELED, woken
      end
      isolated do
        thread = Thread.new { Nyario.sleep(seconds) }
        assert_nil thread.join(0.1)
        thread.kill.join
      end
    end
  end

  def test_does_not_hold_up_other_threads
    isolated do
      ticks = 0
      ticker = Thread.new do
        loop do
          ticks += 1
          Kernel.sleep 0.005
        end
      end
      in_loop { Nyario.sleep(1) }
      ticker.kill
      assert_operator ticks, :>, 5
    end
  end
end
