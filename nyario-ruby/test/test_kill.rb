# frozen_string_literal: true

require "helper"

# Threads and fibers that are killed or raised in from outside: what was begun is cleaned up, nothing is lost.
class TestKill < NyarioTest
  # What is waited for stays open, as nobody else would keep it.
  KEPT = []

  def self.kept(ends)
    KEPT.concat(ends).last(2)
  end

  # How a fiber may wait.
  WAITS = {
    sleep: -> { sleep },
    sleep_a_while: -> { sleep 60 },
    queue: -> { Queue.new.pop },
    pipe: -> { kept(IO.pipe)[0].read(1) },
    socket: -> { kept(UNIXSocket.pair)[0].readpartial(1) },
    wait_readable: -> { kept(IO.pipe)[0].wait_readable },
    child: -> { Process.wait(spawn("exec sleep 60")) },
    join: -> { Thread.new { sleep }.join },
    condition: -> { Mutex.new.tap(&:lock).then { |mutex| ConditionVariable.new.wait(mutex) } },
    native_read: -> { Nyario.read(kept(IO.pipe)[0]) },
    native_sleep: -> { Nyario.sleep(60) },
    native_write: -> { Nyario.write(kept(UNIXSocket.pair)[0], "x" * 5_000_000) }
  }.freeze

  # A thread in whose scheduler one fiber waits in each way, and what they leave behind.
  def waiting_thread(log, begun)
    Thread.new do
      Thread.current.report_on_exception = false
      Fiber.set_scheduler(Nyario::Scheduler.new)
      WAITS.each do |name, wait|
        Fiber.schedule do
          wait.call
        ensure
          log << name
        end
      end
      Fiber.schedule { begun << true }
    end
  end

  def test_killing_a_schedulers_thread_runs_what_its_fibers_ensure
    isolated do
      log, begun = Queue.new, Queue.new
      text = stderr_of do
        thread = waiting_thread(log, begun)
        begun.pop
        thread.kill
        assert_same thread, thread.join(10)
        assert_nil thread.value
      end
      assert_equal WAITS.keys.sort, Array.new(log.size) { log.pop }.sort
      assert_empty text
      GC.start
    end
  end

  def test_raising_in_a_schedulers_thread_runs_what_its_fibers_ensure
    isolated do
      log, begun = Queue.new, Queue.new
      text = stderr_of do
        thread = waiting_thread(log, begun)
        begun.pop
        Thread.pass until thread.stop?
        thread.raise(KeyError, "enough")
        assert_equal "enough", assert_raises(KeyError) { thread.join(10) }.message
      end
      assert_equal WAITS.keys.sort, Array.new(log.size) { log.pop }.sort
      assert_empty text
    end
  end

  def test_killing_while_a_scheduled_fiber_computes
    isolated do
      log, begun = Queue.new, Queue.new
      thread = Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          sleep
        ensure
          log << :sleeper
        end
        Fiber.schedule do
          sleep 0.001
          begun << true
          loop { nil }
        ensure
          log << :busy
        end
      end
      begun.pop
      thread.kill
      assert_same thread, thread.join(10)
      assert_equal %i[busy sleeper], Array.new(log.size) { log.pop }
    end
  end

  def test_a_fiber_that_waits_for_ever_does_not_hold_a_killed_thread
    isolated do
      begun = Queue.new
      thread = Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          begun << true
          begin
            sleep
          rescue SystemCallError
            retry
          end
        end
      end
      begun.pop
      thread.kill
      assert_same thread, thread.join(20)
    end
  end

  def test_an_interrupt_does_not_wait_for_the_other_fibers
    isolated do
      reader, writer = IO.pipe
      child = fork do
        $stderr.reopen(File::NULL)
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          writer << "begun\n"
          sleep
        ensure
          writer << "ensured\n"
        end
      end
      writer.close
      assert_equal "begun\n", reader.gets
      Process.kill(:INT, child)
      assert_equal "ensured\n", reader.read
      assert_equal Signal.list["INT"], Process.wait2(child)[1].termsig
    end
  end

  def test_an_exit_in_one_fiber_ends_the_others
    isolated do
      reader, writer = IO.pipe
      child = fork do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          sleep
        ensure
          writer << "ensured"
        end
        Fiber.schedule { sleep 0.01; exit 7 }
      end
      writer.close
      assert_equal "ensured", reader.read
      assert_equal 7, Process.wait2(child)[1].exitstatus
    end
  end

  def test_fibers_are_raised_in_wherever_they_wait
    isolated do
      seen = []
      scheduled do
        fibers = WAITS.map do |name, wait|
          Fiber.schedule do
            wait.call
          rescue KeyError => e
            seen << [name, e.message]
            sleep 0.001
            seen << name
          end
        end
        Fiber.schedule do
          sleep 0.01
          fibers.each { |fiber| fiber.raise(KeyError, "up") }
        end
      end
      assert_equal WAITS.keys.flat_map { |name| [[name, "up"], name] }.sort_by(&:to_s), seen.sort_by(&:to_s)
    end
  end

  def test_what_has_been_unblocked_and_raised_in_wakes_no_other
    isolated do
      seen = []
      scheduled do
        20.times do |n|
          queue = Queue.new
          inner = nil
          Fiber.schedule do
            inner = Fiber.new { queue.pop }
            inner.resume
          rescue KeyError
            seen << n
          end
          queue << n
          inner.raise(KeyError, "up")
          # It gets the place of the one before.
          Fiber.schedule do
            before = now
            Fiber.new { sleep 0.005 }.resume
            assert_operator now - before, :>=, 0.005
            seen << :slept
          end
        end
      end
      assert_equal [*0...20] + [:slept] * 20, seen.sort_by { |item| item.is_a?(Integer) ? item : 20 }
    end
  end

  def test_a_fiber_that_is_handed_control_past_the_loop_and_ends
    isolated do
      seen = []
      # The others stay where they are, so this scheduler would never end.
      Fiber.set_scheduler(Nyario::Scheduler.new)
      10.times do |n|
        one = other = nil
        other = Fiber.schedule do
          sleep
        rescue KeyError
          # Whoever raised has not waited for its turn, and ends before it comes.
          one.transfer
        end
        Fiber.schedule do
          one = Fiber.current
          other.raise(KeyError, "up")
          seen << n
        end
      end
      3.times { 20.times { |n| Fiber.schedule { sleep 0.001; seen << n } } }
      Fiber.schedule { sleep 0.02; raise Interrupt, "enough" }
      assert_raises(Interrupt) { Fiber.scheduler.run }
      assert_equal [*0...10] + ([*0...20] * 3).sort, seen.first(10) + seen.drop(10).sort
    end
  end

  if Fiber.method_defined?(:kill)
    def test_killed_fibers_clean_up
      isolated do
        seen = []
        scheduled do
          fibers = WAITS.map do |name, wait|
            Fiber.schedule do
              wait.call
            rescue Exception # rubocop:disable Lint/RescueException
              seen << :rescued
            ensure
              seen << name
            end
          end
          Fiber.schedule do
            sleep 0.01
            fibers.each(&:kill)
            sleep 0.001
            assert(fibers.none?(&:alive?))
          end
        end
        assert_equal WAITS.keys.sort, seen.sort
        in_loop do
          fiber = nil
          task = Nyario.spawn do
            fiber = Fiber.current
            Nyario.sleep(60)
          ensure
            seen << :task
          end
          Nyario.sleep(0)
          fiber.kill
          task.join
          assert_equal :task, seen.last
        end
      end
    end
  end

  def test_time_limits_of_another_thread_and_of_a_fiber
    isolated do
      seen = []
      WAITS.each do |name, wait|
        scheduled do
          Fiber.schedule do
            Timeout.timeout(0.01) { wait.call }
          rescue Timeout::Error
            seen << name
          end
        end
      end
      assert_equal WAITS.keys, seen
      thread = Thread.new { Timeout.timeout(0.05) { Nyario.spawn { sleep }.tap { Nyario.loop } } }
      thread.report_on_exception = false
      assert_raises(Timeout::Error) { thread.value }
    end
  end

  # What Ruby keeps of a kill on its way is lost when something is rescued meanwhile, unless it is put back.
  def test_a_killed_loop_ends_by_way_of_what_rescues
    isolated do
      Nyario::Scheduler.prepend(Module.new do
        def scheduler_close
          Integer("none") rescue super
        end
      end)
      seen = []
      thread = Thread.new do
        Nyario.register(listener) { nil }
        begin
          Nyario.loop
        ensure
          seen << :left
        end
      ensure
        seen << :ended
      end
      eventually { thread.stop? }
      thread.kill.join
      assert_equal %i[left ended], seen
    end
  end
end
