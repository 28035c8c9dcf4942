# frozen_string_literal: true

require "helper"

# Threads with a loop each, and what goes from one to the other.
class TestThreads < NyarioTest
  def test_a_loop_does_not_outlive_its_thread
    skip "this Ruby keeps native threads, and with them their loops, for a minute" if RUBY_VERSION < "3.3"

    isolated do
      before = descriptors
      100.times { Thread.new { Nyario.backend }.join }
      20.times do
        begun = Queue.new
        thread = Thread.new do
          Fiber.set_scheduler(Nyario::Scheduler.new)
          Fiber.schedule { sleep }
          begun << true
          Thread.stop
        end
        begun.pop
        thread.kill.join
      end
      eventually { descriptors <= before }
      Thread.new { Nyario.backend }.join
      GC.start
      in_loop { Nyario.sleep(0.001) }
    end
  end

  def test_a_loop_that_a_thread_leaves_behind_is_the_next_threads
    isolated do
      5.times do
        Thread.new { Nyario.register(listener) { nil } }.join
        assert_equal :own, Thread.new { in_loop { Nyario.sleep(0.001) || :own } }.value
      end
    end
  end

  def test_unblocking_from_many_threads
    isolated do
      queues = Array.new(50) { Queue.new }
      seen = Queue.new
      pushers = Array.new(4) do |n|
        Thread.new { 500.times { |m| queues[((n * 500) + m) % 50] << m } }
      end
      scheduled do
        queues.each { |queue| Fiber.schedule { 40.times { seen << queue.pop } } }
      end
      pushers.each(&:join)
      assert_equal 2000, seen.size
      assert(queues.all?(&:empty?))
    end
  end

  def test_two_schedulers_hand_each_other_everything
    isolated do
      ping, pong = Queue.new, Queue.new
      echo = Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        10.times { Fiber.schedule { while (n = ping.pop) do pong << n end } }
      end
      sum = 0
      scheduled do
        Fiber.schedule do
          2000.times { |n| ping << n; sum += pong.pop }
          10.times { ping << nil }
        end
      end
      assert echo.join(10)
      assert_equal 2000 * 1999 / 2, sum
    end
  end

  def test_an_unblock_that_comes_before_the_block
    isolated do
      queue = Queue.new
      # Whoever is told here has not begun to wait.
      scheduler = Class.new(Nyario::Scheduler) do
        define_method(:block) do |*arguments|
          pusher = Thread.new { queue << :early }
          Thread.pass while pusher.alive?
          super(*arguments)
        end
      end
      thread = Thread.new do
        Fiber.set_scheduler(scheduler.new)
        Fiber.schedule { queue.pop }
      end
      assert thread.join(10), "it was never told"
    end
  end

  def test_mutexes_between_fibers_and_threads
    isolated do
      mutex, count = Mutex.new, 0
      add = lambda do
        200.times do
          mutex.synchronize do
            before = count
            Thread.pass
            count = before + 1
          end
        end
      end
      threads = Array.new(3) { Thread.new(&add) }
      scheduled { 5.times { Fiber.schedule(&add) } }
      threads.each(&:join)
      assert_equal 1600, count
    end
  end

  def test_other_ractors_are_refused
    isolated do
      $VERBOSE = nil
      refusals = Ractor.new do
        [-> { Nyario.backend }, -> { Nyario.spawn { nil } }, -> { Nyario::Scheduler.new.run }].map do |call|
          call.call
        rescue Ractor::UnsafeError => e
          e.class
        end
      end
      # Ruby 4.0 has a new word for it.
      classes = refusals.respond_to?(:value) ? refusals.value : refusals.take
      assert_equal [Ractor::UnsafeError] * 3, classes
    end
  end
end
