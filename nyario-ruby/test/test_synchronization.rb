# frozen_string_literal: true

require "helper"
require "monitor"

# Ruby's own means of working together, between scheduled fibers and threads.
class TestSynchronization < NyarioTest
  def test_a_mutex_is_handed_on_in_turn
    isolated do
      order = []
      scheduled do
        mutex = Mutex.new
        5.times do |n|
          Fiber.schedule do
            3.times do
              mutex.synchronize do
                order << n
                sleep 0.0005
              end
              sleep 0
            end
          end
        end
      end
      assert_equal [0, 1, 2, 3, 4] * 3, order
    end
  end

  def test_queues_are_fair
    isolated do
      counts = Hash.new(0)
      order = []
      scheduled do
        queue = Queue.new
        4.times do |n|
          Fiber.schedule do
            while (item = queue.pop)
              counts[n] += 1
              order << item
              sleep 0
            end
          end
        end
        Fiber.schedule do
          400.times do |item|
            queue << item
            sleep 0 if (item % 4) == 3
          end
          queue.close
        end
      end
      assert_equal [*0...400], order
      assert_equal [100] * 4, counts.values
    end
  end

  def test_a_bounded_queue_between_threads_and_fibers
    isolated do
      queue = SizedQueue.new(2)
      got = Queue.new
      producers = Array.new(2) { |n| Thread.new { 100.times { |m| queue << [:thread, n, m] } } }
      consumer = Thread.new { 200.times { got << queue.pop } }
      scheduled do
        2.times { |n| Fiber.schedule { 100.times { |m| queue << [:fiber, n, m] } } }
        4.times { Fiber.schedule { 50.times { got << queue.pop } } }
      end
      [*producers, consumer].each(&:join)
      items = Array.new(got.size) { got.pop }
      assert_equal 400, items.uniq.size
      assert_operator queue.size, :<=, 2
    end
  end

  def test_a_queue_that_is_closed_wakes_everybody
    isolated do
      seen = []
      scheduled do
        queue, full = Queue.new, SizedQueue.new(1).tap { |sized| sized << 1 }
        3.times { Fiber.schedule { seen << queue.pop.inspect } }
        3.times { Fiber.schedule { full << 2 rescue seen << $!.class.name } }
        Fiber.schedule { queue.close; full.close }
      end
      assert_equal(["nil"] * 3 + ["ClosedQueueError"] * 3, seen.sort.reverse)
    end
  end

  def test_queues_with_time_limits
    skip "Ruby has them since 3.2" if RUBY_VERSION < "3.2"

    isolated do
      seen = []
      scheduled do
        queue, full = Queue.new, SizedQueue.new(1).tap { |sized| sized << 1 }
        Fiber.schedule { seen << [1, queue.pop(timeout: 0.005)] }
        Fiber.schedule { seen << [2, full.push(2, timeout: 0.005)] }
        Fiber.schedule { seen << [3, queue.pop(timeout: 5)] }
        Fiber.schedule { sleep 0.02; queue << :late }
      end
      assert_equal [[1, nil], [2, nil], [3, :late]], seen.sort_by(&:first)
    end
  end

  def test_conditions
    isolated do
      seen = []
      scheduled do
        mutex, condition, ready = Mutex.new, ConditionVariable.new, 0
        3.times do |n|
          Fiber.schedule do
            mutex.synchronize do
              condition.wait(mutex) until ready > n
              seen << n
            end
          end
        end
        Fiber.schedule { mutex.synchronize { condition.wait(mutex, 0.005); seen << :limit } }
        Fiber.schedule do
          sleep 0.02
          2.times { mutex.synchronize { ready += 1; condition.broadcast } }
          sleep 0.001
          Thread.new { mutex.synchronize { ready += 1; condition.broadcast } }.join
        end
      end
      assert_equal [:limit, 0, 1, 2], seen
    end
  end

  def test_monitors_are_a_fibers_own
    isolated do
      order = []
      scheduled do
        monitor = Monitor.new
        condition = monitor.new_cond
        ready = false
        Fiber.schedule do
          monitor.synchronize do
            monitor.synchronize { condition.wait_until { ready } }
            order << :waited
          end
        end
        Fiber.schedule do
          monitor.synchronize do
            order << :held
            sleep 0.005
            ready = true
            condition.signal
            order << :released
          end
        end
        Fiber.schedule do
          monitor.synchronize { order << :third }
        end
      end
      assert_equal %i[held released], order.first(2)
      assert_equal %i[held released third waited], order.sort
    end
  end

  def test_threads_are_joined
    isolated do
      seen = []
      scheduled do
        raising, ending = Queue.new, Queue.new
        slow = Thread.new { ending.pop && :value }
        3.times { Fiber.schedule { seen << slow.value } }
        Fiber.schedule do
          Thread.new { Thread.current.report_on_exception = false; raising.pop; raise KeyError, "of a thread" }.join
        rescue KeyError => e
          seen << e.message
          ending << true
        end
        Fiber.schedule { sleep 0.001; seen << :others_run; raising << true }
      end
      assert_equal [:others_run, "of a thread", :value, :value, :value], seen
    end
  end

  def test_a_fiber_that_keeps_everybody_waiting_does_not_starve_them
    isolated do
      reader, writer = IO.pipe
      ticks = 0
      got = nil
      scheduled do
        done = false
        Fiber.schedule { sleep 0 until done }
        Fiber.schedule { 5.times { sleep 0.001; ticks += 1 } }
        Fiber.schedule do
          got = reader.read(1)
          sleep 0 until ticks == 5
          done = true
        end
        Thread.new { writer << "x" }
      end
      assert_equal [5, "x"], [ticks, got]
    end
  end

  def test_enumerators
    isolated do
      seen = []
      scheduled do
        reader, writer = IO.pipe
        # Before 3.3 an enumerator's own fiber blocks the thread.
        Thread.new do
          %w[a b].each { |text| sleep(0.002) && writer.puts(text) }
          writer.close
        end
        Fiber.schedule do
          lines = Enumerator.new { |yielder| reader.each_line { |line| yielder << line.chomp } }
          numbers = [1, 2, 3].each
          seen << [lines.next, numbers.next] << [lines.peek, numbers.next] << [lines.next, numbers.next]
          seen << [(lines.next rescue $!.class), (numbers.next rescue $!.class)]
          lazy = (1..Float::INFINITY).lazy.map { |n| sleep(0.0001) && n * 2 }.select { |n| (n % 3).zero? }
          seen << lazy.first(2)
          one, two = lazy.dup, lazy.dup
          seen << [one.next, two.next, one.next]
        end
      end
      stop = StopIteration
      assert_equal [["a", 1], ["b", 2], ["b", 3], [stop, stop], [6, 12], [6, 6, 12]], seen
    end
  end

  def test_fibers_within_fibers
    isolated do
      seen = []
      scheduled do
        Fiber.schedule do
          inner = Fiber.new do |n|
            loop do
              sleep 0.0005
              deeper = Fiber.new { sleep(0.0005) && Fiber.yield(n) }
              n = Fiber.yield(deeper.resume + 1)
            end
          end
          5.times { |n| seen << inner.resume(n) }
          blocking = Fiber.new(blocking: true) { [Fiber.current.blocking?, sleep(0.001).class] }
          seen << blocking.resume
        end
        Fiber.schedule do
          one = two = nil
          one = Fiber.new { sleep 0.001; two.transfer(:from_one); seen << :one_again }
          two = Fiber.new { |from| sleep 0.001; seen << from; one.transfer }
          one.transfer
        end
      end
      assert_equal [1, 2, 3, 4, 5], seen.grep(Integer)
      assert_includes seen, [true, Integer]
      assert_equal %i[from_one one_again], seen.grep(Symbol)
    end
  end

  def test_what_belongs_to_a_fiber
    isolated do
      seen = []
      scheduled do
        3.times do |n|
          Fiber.schedule do
            Thread.current[:local] = n
            Thread.current.thread_variable_set(:shared, n)
            sleep 0.001
            seen << Thread.current[:local]
            assert_equal 2, Thread.current.thread_variable_get(:shared)
          end
        end
      end
      assert_equal [0, 1, 2], seen
      task = Nyario.spawn { Thread.current[:local] }
      other = Nyario.spawn { Thread.current[:local] = 1 }
      Nyario.loop
      assert_equal [nil, 1], [task.value, other.value]
    end
  end

  if Fiber.respond_to?(:[])
    def test_fiber_storage_is_inherited
      isolated do
        seen = []
        scheduled do
          Fiber[:request] = 1
          Fiber.schedule do
            Fiber[:request] += 1
            Fiber.schedule { sleep 0.001; seen << Fiber[:request] }
            sleep 0.002
            Fiber.new(storage: { request: :own }) { sleep 0.001; seen << Fiber[:request] }.resume
            seen << Fiber[:request]
          end
          Fiber.schedule(storage: nil) { seen << Fiber[:request] }
          seen << Fiber[:request]
        end
        assert_equal [nil, 1, 2, :own, 2], seen
      end
    end
  end
end
