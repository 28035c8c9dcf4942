# frozen_string_literal: true

require_relative "helper"

# How schedulers are made, set, run, closed and extended, in which order and by whom whatsoever.
class SchedulerUseTest < Minitest::Test
  include Helper

  # Wakes a fiber once and notes that.
  def note(seen, what)
    Fiber.schedule { sleep 0.001; seen << what }
  end

  def test_one_that_is_never_used
    alone do
      Fiber.set_scheduler(Nyario::Scheduler.new)
      scheduler = Nyario::Scheduler.new
      assert_nil scheduler.run
      2.times { assert_nil scheduler.close }
      assert_nil scheduler.scheduler_close
    end
  end

  def test_it_runs_again_and_again
    alone do |seen|
      Fiber.set_scheduler(Nyario::Scheduler.new)
      2.times { |n| note(seen, n); 2.times { assert_nil Fiber.scheduler.run } }
      assert_equal [0, 1], seen
    end
  end

  def test_it_is_used_after_a_close
    alone do |seen|
      Fiber.set_scheduler(scheduler = Nyario::Scheduler.new)
      2.times do |n|
        note(seen, n)
        2.times { assert_nil scheduler.close }
      end
      note(seen, 2)
      Fiber.set_scheduler(nil)
      assert_equal [0, 1, 2], seen
    end
  end

  def test_taking_it_away_runs_what_is_left
    alone do |seen|
      Fiber.set_scheduler(Nyario::Scheduler.new)
      note(seen, 0)
      2.times { Fiber.set_scheduler(nil) }
      assert_equal [0], seen
      assert_nil Fiber.scheduler
    end
  end

  def test_another_takes_its_place
    alone do |seen|
      3.times do |n|
        Fiber.set_scheduler(Nyario::Scheduler.new)
        note(seen, n)
        assert_equal (0...n).to_a, seen
      end
      Fiber.set_scheduler(nil)
      assert_equal [0, 1, 2], seen
    end
  end

  def test_a_scheduled_fiber_does_not_run_its_scheduler
    [-> { Fiber.scheduler.run }, -> { Fiber.scheduler.close }, -> { Fiber.set_scheduler(nil) },
     -> { Fiber.set_scheduler(Nyario::Scheduler.new) }].each do |attempt|
      alone do |seen|
        Fiber.set_scheduler(scheduler = Nyario::Scheduler.new)
        note(seen, :other)
        Fiber.schedule do
          attempt.call
        rescue RuntimeError => error
          seen << error.message
        end
        scheduler.run
        assert_match(/run by its thread/, (seen - [:other]).first)
        assert_includes seen, :other
      end
    end
  end

  def test_within_a_loop_it_is_the_loops
    alone do |seen|
      in_loop do
        assert_raises(RuntimeError) { Fiber.scheduler.run }
        note(seen, 0)
        Fiber.set_scheduler(Nyario::Scheduler.new)
        note(seen, 1)
        sleep 0.01
        assert_equal [0, 1], seen.sort
      end
      assert_nil Fiber.scheduler
    end
  end

  def test_made_in_one_thread_and_used_in_others
    alone do |seen|
      scheduler = Thread.new { Nyario::Scheduler.new }.value
      3.times { |n| Thread.new { Fiber.set_scheduler(scheduler); note(seen, n) }.join }
      assert_equal [0, 1, 2], seen
    end
  end

  def test_two_threads_do_not_share_one
    alone do |seen|
      Fiber.set_scheduler(scheduler = Nyario::Scheduler.new)
      sleeper = Fiber.schedule { sleep }
      uses = [-> { note(seen, :wrong) }, -> {}, -> { scheduler.io_wait($stdin, IO::READABLE, 0.001) }, -> { scheduler.run }]
      uses.each do |use|
        thread = Thread.new do
          Thread.current.report_on_exception = false
          Fiber.set_scheduler(scheduler)
          use.call
        end
        assert_match(/another thread/, assert_raises(RuntimeError) { thread.join }.message)
      end
      assert_empty seen
      # It still serves its own.
      scheduler.unblock(nil, sleeper)
    end
  end

  def test_what_a_fiber_raises_at_the_very_end
    isolated do
      thread = Thread.new do
        Thread.current.report_on_exception = false
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { sleep 0.001; raise NotImplementedError, "at the end" }
        Fiber.schedule { sleep 0.001; raise NoMemoryError, "for the thread" }
      end
      text = stderr_of { assert_equal "for the thread", assert_raises(NoMemoryError) { thread.join }.message }
      assert_includes text, "at the end"
    end
  end

  # Each hook of this Ruby is called through the subclass, and goes on to ours.
  def test_a_subclass_sees_each_call_and_goes_on
    calls = Hash.new(0)
    tracing = Class.new(Nyario::Scheduler) do
      Nyario::Scheduler.public_instance_methods(false).each do |name|
        define_method(name) do |*arguments, **options, &block|
          calls[name] += 1
          super(*arguments, **options, &block)
        end
      end

      def initialize(name)
        @name = name
        super()
      end
      attr_reader :name
    end
    alone(tracing.new("traced")) do |seen|
      work(seen)
      Fiber.scheduler.run
      assert_equal "traced", Fiber.scheduler.name
      Fiber.scheduler.close
      assert_equal %i[bytes child name queue time], seen.sort
      wanted = %i[fiber kernel_sleep block unblock io_wait io_read timeout_after process_wait address_resolve run close]
      wanted << :io_write if Nyario::Scheduler.method_defined?(:io_write)
      wanted.push(:io_select) if Nyario::Scheduler.method_defined?(:io_select)
      wanted.push(:io_close, :fiber_interrupt) if RUBY_VERSION.to_f >= 4.0
      assert_empty wanted - calls.keys
    end
    assert_empty calls # The hooks ran in a process of their own.
  end

  private

  # Runs the block on a thread of its own, in a process of its own, perhaps with a scheduler.
  def alone(scheduler = nil)
    isolated do
      thread = Thread.new do
        Thread.current.report_on_exception = false
        Fiber.set_scheduler(scheduler) if scheduler
        yield []
      end
      thread.join
    end
  end

  # Something for each hook.
  def work(seen)
    left, right = UNIXSocket.pair
    queue = Queue.new
    server = TCPServer.new("127.0.0.1", 0)
    Fiber.schedule { server.accept.close }
    Fiber.schedule { seen << :bytes if left.readpartial(10) == "x" }
    Fiber.schedule { seen << :queue if queue.pop }
    Fiber.schedule { queue << 1; right.write("x"); right.flush }
    Fiber.schedule { Timeout.timeout(0.001) { sleep } rescue seen << :time }
    Fiber.schedule { seen << :child if system("exit 0") }
    Fiber.schedule { TCPSocket.new("127.0.0.1", server.local_address.ip_port).close }
    Fiber.schedule { seen << :name if Addrinfo.getaddrinfo("localhost", 80).any? }
    Fiber.schedule { IO.select([left], nil, nil, 0.001) }
    reader, _other = IO.pipe
    Fiber.schedule { reader.wait_readable rescue nil }
    Fiber.schedule { sleep 0.001; reader.close }
  end
end
