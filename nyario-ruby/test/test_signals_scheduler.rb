# frozen_string_literal: true

require "helper"

# Signals that come while a scheduler runs, or a loop that is never idle.
class TestSignalsScheduler < NyarioTest
  # Has another process send signals to this one, the next when one was seen: the block is what sees. It is given what
  # tells so, and what begins it, an IO of its own as a trap may interrupt that.
  def sending(names)
    reader, writer = IO.pipe
    receiver = Process.pid
    sender = fork do
      writer.close
      names.each do |name|
        reader.read(1)
        Process.kill(name, receiver)
      end
      sleep
    end
    reader.close
    yield writer, writer.dup
  ensure
    Process.kill(:KILL, sender)
    Process.wait(sender)
  end

  # How the loop passes its time meanwhile: what its fibers do.
  PASTIMES = {
    idle: -> { sleep },
    busy: -> { loop { sleep 0 } },
    computing: -> { loop { Array.new(1000, &:to_s).sort; sleep 0.0001 } },
    awake: -> { loop { sleep 0.0005 } }
  }.freeze

  PASTIMES.each do |name, pastime|
    define_method("test_none_is_lost_or_late_while_the_scheduler_is_#{name}") do
      isolated do
        count = 0
        sending([:USR1] * 100 + [:USR2]) do |writer, starter|
          trap(:USR1) do
            count += 1
            writer << "+"
          end
          trap(:USR2) { raise Interrupt, "enough" }
          Fiber.set_scheduler(Nyario::Scheduler.new)
          Fiber.schedule(&pastime)
          Fiber.schedule do
            sleep 0.001
            starter << "+"
          end
          assert_equal "enough", assert_raises(Interrupt) { Fiber.scheduler.run }.message
        end
        assert_equal 100, count
      end
    end

    define_method("test_none_is_lost_or_late_while_the_loop_is_#{name}") do
      isolated do
        count = 0
        sending([:USR1] * 100 + [:TERM]) do |writer, starter|
          trap(:USR1) do
            count += 1
            writer << "+"
          end
          trap(:TERM) { Nyario.stop }
          2.times { Nyario.spawn(&pastime) }
          Nyario.spawn { starter << "+" }
          stderr_of { Nyario.loop }
        end
        assert_equal 100, count
      end
    end
  end

  def test_several_signals_at_once
    isolated do
      names = %i[USR1 USR2 HUP WINCH URG CONT ALRM]
      seen = []
      Fiber.set_scheduler(Nyario::Scheduler.new)
      names.each { |name| trap(name) { seen << name } }
      Fiber.schedule { sleep }
      sender = Thread.new do
        20.times do |n|
          names.each { |name| Process.kill(name, Process.pid) }
          eventually { seen.size >= (n + 1) * names.size }
        end
        Process.kill(:INT, Process.pid)
      end
      assert_raises(Interrupt) { Fiber.scheduler.run }
      sender.join
      assert_equal names.to_h { |name| [name, 20] }, seen.tally
    end
  end

  def test_what_a_trap_may_do
    isolated do
      seen = []
      reader, writer = IO.pipe
      closed, _other = IO.pipe
      queue = Queue.new
      trap(:USR1) { writer << "from a trap" }
      trap(:USR2) { closed.close }
      trap(:HUP) { queue << "queued" }
      trap(:ALRM) { Thread.new { queue << "threaded" } }
      # On the main thread, as traps run there.
      Fiber.set_scheduler(Nyario::Scheduler.new).tap do
        Fiber.schedule { seen << reader.readpartial(100) }
        Fiber.schedule { closed.read rescue seen << $!.class }
        Fiber.schedule { 2.times { seen << queue.pop } }
        Fiber.schedule do
          %i[USR1 USR2 HUP ALRM].each do |name|
            sleep 0.005
            Process.kill(name, Process.pid)
          end
        end
      end
      Fiber.set_scheduler(nil)
      assert_equal ["from a trap", IOError, "queued", "threaded"].map(&:to_s).sort, seen.map(&:to_s).sort
    end
  end

  def test_what_a_trap_raises_goes_to_the_loops_caller
    isolated do
      trap(:USR1) { raise KeyError, "from a trap" }
      Fiber.set_scheduler(Nyario::Scheduler.new)
      gate, loops = Queue.new, Thread.current
      passed = false
      Fiber.schedule { passed = gate.pop }
      Fiber.schedule { Thread.new { Thread.pass until loops.stop?; Process.kill(:USR1, Process.pid) } }
      assert_equal "from a trap", assert_raises(KeyError) { Fiber.scheduler.run }.message
      refute passed
      # The fibers are still there.
      gate << true
      Fiber.set_scheduler(nil)
      assert passed
    end
    isolated do
      trap(:USR1) { raise KeyError, "from a trap" }
      cleaned = false
      loops = Thread.current
      Nyario.spawn do
        Thread.new { Thread.pass until loops.stop?; Process.kill(:USR1, Process.pid) }
        sleep
      ensure
        cleaned = true
      end
      assert_equal "from a trap", assert_raises(KeyError) { Nyario.loop }.message
      assert cleaned
    end
  end

  def test_signals_by_default
    %i[INT TERM HUP USR1].each do |name|
      isolated do
        reader, writer = IO.pipe
        child = fork do
          trap(name, "DEFAULT")
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
        Process.kill(name, child)
        assert_equal Signal.list[name.to_s], Process.wait2(child)[1].termsig
        assert_equal "ensured\n", reader.read
      end
    end
  end

  def test_while_another_thread_runs_the_loop
    isolated do
      count = 0
      sending([:USR1] * 50) do |writer, starter|
        trap(:USR1) do
          count += 1
          writer << "+"
        end
        scheduled do
          Fiber.schedule { starter << "+" }
          Fiber.schedule { sleep 0.001 until count == 50 }
          Fiber.schedule { Array.new(2000, &:to_s).sort && sleep(0) until count == 50 }
        end
      end
      assert_equal 50, count
    end
  end
end
