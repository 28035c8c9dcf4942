# frozen_string_literal: true

require_relative "helper"

# The hooks beyond reading and writing, called as Ruby calls them.
class HooksTest < Minitest::Test
  include Helper

  # What stands for a fiber's operation since 4.1.
  Operation = Struct.new(:fiber, :done) do
    def alive?
      !done && fiber.alive?
    end

    def raise(exception)
      fiber.raise(exception)
    end
  end

  def test_an_interrupt_is_raised_where_the_fiber_waits
    with_hooks do |hooks|
      left, _other = UNIXSocket.pair
      seen = []
      waits = [-> { left.readpartial(1) }, -> { left.wait_readable }, -> { sleep }, -> { Queue.new.pop }]
      fibers = waits.map { |wait| Fiber.schedule { seen << (wait.call rescue $!.message) } }
      fibers.each { |fiber| assert_nil hooks.fiber_interrupt(fiber, IOError.new("closed")) }
      sleep 0.001 until seen.size == 4
      assert_equal %w[closed] * 4, seen
    end
  end

  def test_an_interrupt_of_a_fiber_that_does_not_wait_is_dropped
    with_hooks do |hooks|
      hooks.fiber_interrupt(Fiber.current, IOError.new("late"))
      hooks.fiber_interrupt(Fiber.new {}, IOError.new("never begun"))
      ended = Fiber.schedule {}
      hooks.fiber_interrupt(ended, IOError.new("ended"))
      sleep 0.001
      assert true
    end
  end

  def test_two_interrupts_of_one_wait_are_one
    with_hooks do |hooks|
      seen = []
      fiber = Fiber.schedule do
        (sleep) rescue seen << $!.message
        seen << sleep(0.001).class
      end
      2.times { |n| hooks.fiber_interrupt(fiber, IOError.new(n.to_s)) }
      sleep 0.001 until seen.size == 2
      assert_equal ["0", Integer], seen
    end
  end

  def test_an_operation_is_interrupted_while_it_is_one
    with_hooks do |hooks|
      seen = []
      operation = Operation.new
      operation.fiber = Fiber.schedule do
        (sleep) rescue seen << $!.message
        operation.done = true
        seen << sleep(0.01).class
      end
      3.times { |n| hooks.fiber_interrupt(operation, IOError.new(n.to_s)) }
      GC.start
      sleep 0.001 until seen.size == 2
      assert_equal ["0", Integer], seen
    end
  end

  def test_an_operation_that_fails_does_no_harm
    with_hooks do |hooks|
      hooks.fiber_interrupt(Object.new, IOError.new("nobody"))
      sleep 0.001
      assert true
    end
  end

  def test_interrupts_come_from_other_threads
    with_hooks do |hooks|
      seen = []
      fiber = Fiber.schedule { (sleep) rescue seen << $!.message }
      operation = Operation.new(Fiber.schedule { (sleep) rescue seen << $!.message })
      # Nothing else wakes the loop.
      Thread.new do
        Kernel.sleep 0.02
        hooks.fiber_interrupt(fiber, IOError.new("fiber"))
        Kernel.sleep 0.02
        hooks.fiber_interrupt(operation, IOError.new("operation"))
      end
      Queue.new.pop(true) rescue nil
      Fiber.schedule { @end = seen }
      Thread.new { eventually { seen.size == 2 } }.join
      assert_equal %w[fiber operation], seen
    end
  end

  def test_a_scheduler_without_a_loop_interrupts_nobody
    assert_nil Nyario::Scheduler.new.fiber_interrupt(Fiber.current, IOError.new)
    assert_nil Nyario::Scheduler.new.unblock(nil, Fiber.current)
  end

  def test_yield_lets_the_others_go_first
    with_hooks do |hooks|
      order = []
      Fiber.schedule { 2.times { |n| order << [:other, n]; hooks.yield } }
      2.times { |n| order << [:this, n]; assert_nil hooks.yield }
      assert_equal [[:other, 0], [:this, 0], [:other, 1], [:this, 1]], order
    end
  end

  def test_children
    with_hooks do |hooks|
      child = fork { exit!(7) }
      assert_equal [child, 7], hooks.process_wait(child, 0).then { |status| [status.pid, status.exitstatus] }
      child = spawn("sleep 60")
      assert_nil hooks.process_wait(child, Process::WNOHANG)
      turns = 0
      Fiber.schedule { 3.times { turns += 1; sleep 0 }; Process.kill(:TERM, child) }
      assert_equal Signal.list["TERM"], hooks.process_wait(child, 0).termsig
      assert_equal 3, turns
    end
  end

  def test_any_child_and_groups_of_them
    with_hooks do |hooks|
      child = fork { exit!(3) }
      assert_equal [child, 3], hooks.process_wait(-1, 0).then { |status| [status.pid, status.exitstatus] }
      child = fork { exit!(4) }
      assert_equal [child, 4], hooks.process_wait(0, 0).then { |status| [status.pid, status.exitstatus] }
      child = spawn("sleep 60", pgroup: true)
      Fiber.schedule { sleep 0.01; Process.kill(:KILL, child) }
      assert_equal child, hooks.process_wait(-child, 0).pid
    end
  end

  def test_a_child_that_stops
    with_hooks do |hooks|
      child = fork { Process.kill(:STOP, Process.pid); exit!(1) }
      assert_predicate hooks.process_wait(child, Process::WUNTRACED), :stopped?
      Process.kill(:CONT, child)
      assert_equal 1, hooks.process_wait(child, 0).exitstatus
    end
  end

  # Ruby makes the exception of the status, and Process.waitall needs to see it.
  def test_no_such_child
    with_hooks do |hooks|
      [1, -1, 0, Process.pid].each do |pid|
        status = hooks.process_wait(pid, 0)
        assert_kind_of Process::Status, status
        refute_operator status.pid, :>, 0
      end
      assert_raises(Errno::ECHILD) { Process.wait }
      assert_raises(Errno::ECHILD) { Process.wait(1) }
      assert_equal [], Process.waitall
    end
  end

  def test_the_wait_for_a_child_can_be_left
    with_hooks do |hooks|
      child = spawn("sleep 60")
      threads, open = Thread.list.size, descriptors
      [child, -1, 0].each do |pid|
        assert_raises(Timeout::Error) { Timeout.timeout(0.01) { hooks.process_wait(pid, 0) } }
        fiber = Fiber.schedule { hooks.process_wait(pid, 0) rescue @left = $!.message }
        sleep 0.001
        fiber.raise("left")
        assert_equal "left", @left
      end
      sleep 0.001 until Thread.list.size == threads
      assert_operator descriptors, :<=, open
      Process.kill(:KILL, child)
      assert_equal child, hooks.process_wait(child, 0).pid
    end
  end

  def test_names
    with_hooks do |hooks|
      assert_includes hooks.address_resolve("localhost"), "127.0.0.1"
      assert_equal ["127.0.0.1"], hooks.address_resolve("127.0.0.1")
      assert_equal ["::1"], hooks.address_resolve("::1%lo")
      assert_equal ["fe80::1"], hooks.address_resolve("fe80::1%en0")
      assert_equal hooks.address_resolve("localhost"), hooks.address_resolve("localhost%en0")
      ["no such host", "", "%lo", "x" * 1000].each { |name| assert_nil hooks.address_resolve(name), name }
      assert_raises(ArgumentError) { hooks.address_resolve("local\0host") }
      assert_raises(TypeError) { hooks.address_resolve(nil) }
      assert_raises(SocketError) { TCPSocket.new("no such host", 1) }
    end
  end

  # No thread of Ruby's is made for a name, and the fiber may leave.
  def test_names_are_left_behind
    with_hooks do |hooks|
      threads, seen = Thread.list.size, []
      fibers = Array.new(20) { Fiber.schedule { hooks.address_resolve("localhost") rescue seen << $!.message } }
      assert_equal threads, Thread.list.size
      fibers.each { |fiber| fiber.raise("left") }
      assert_equal ["left"] * 20, seen
      GC.start
      assert_includes hooks.address_resolve("localhost"), "127.0.0.1"
    end
  end

  def test_a_blocking_operation
    with_hooks do |hooks|
      here = Thread.current
      there = nil
      assert_equal 3, hooks.blocking_operation_wait(-> { there = Thread.current; 3 })
      refute_same here, there
      assert_raises(KeyError) { hooks.blocking_operation_wait(-> { raise KeyError, "inside" }) }
      turns = 0
      beside = Fiber.schedule { 5.times { turns += 1; sleep 0 } }
      hooks.blocking_operation_wait(-> { Kernel.sleep 0.01 while beside.alive? })
      assert_equal 5, turns
      left = Fiber.schedule { hooks.blocking_operation_wait(-> { Kernel.sleep }) rescue @left = $!.message }
      sleep 0.001
      left.raise("left")
      sleep 0.001 until @left
      assert_equal "left", @left
    end
  end

  # It works on what the fiber lends it.
  def test_a_blocking_operation_has_ended_when_its_fiber_goes_on
    with_hooks do |hooks|
      order, entered = [], false
      operation = lambda do
        entered = true
        Kernel.sleep
      ensure
        Thread.handle_interrupt(Object => :never) { Kernel.sleep 0.01 }
        order << :ended
      end
      fiber = Fiber.schedule do
        hooks.blocking_operation_wait(operation)
      rescue RuntimeError
        order << :left
      end
      sleep 0.001 until entered
      fiber.raise("left")
      sleep 0.001 until order.size == 2
      assert_equal %i[ended left], order
    end
  end

  def test_so_many_blocking_operations_at_a_time
    with_hooks do |hooks|
      running, most, done = 0, 0, 0
      operation = lambda do
        most = [most, running += 1].max
        Kernel.sleep 0.002
        running -= 1
      end
      40.times { Fiber.schedule { hooks.blocking_operation_wait(operation); done += 1 } }
      sleep 0.001 until done == 40
      assert_operator most, :<=, 16
      assert_operator most, :>, 1
      child = fork do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { exit!(Fiber.scheduler.blocking_operation_wait(-> { 5 })) }
        Fiber.scheduler.run
      end
      assert_equal 5, Process.wait2(child).last.exitstatus
    end
  end

  private

  # Runs the block on a scheduled fiber, with its scheduler.
  def with_hooks
    isolated do
      failure = nil
      scheduled do
        Fiber.schedule do
          yield Fiber.scheduler
        rescue Exception => error # rubocop:disable Lint/RescueException
          failure = error
        end
      end
      raise failure if failure
    end
  end
end
