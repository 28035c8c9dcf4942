# frozen_string_literal: true

require "helper"

class TestChannel < NyarioTest
  def test_in_order_and_within_its_capacity
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(2)
        pushed = []
        giver = Nyario.spawn do
          5.times do |n|
            assert_same channel, (n.even? ? channel.push(n) : channel << n)
            pushed << n
          end
        end
        Nyario.sleep(0.002)
        assert_equal [0, 1], pushed
        assert_equal 2, channel.size
        assert_equal [0, 1, 2, 3, 4], Array.new(5) { channel.pop }
        giver.join
        assert_equal 0, channel.size
      end
    end
  end

  def test_a_rendezvous
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        steps = []
        giver = Nyario.spawn do
          steps << :giving
          channel << :value
          steps << :given
        end
        Nyario.sleep(0.002)
        assert_equal %i[giving], steps
        assert_equal 0, channel.size
        assert_equal :value, channel.pop
        giver.join
        taker = Nyario.spawn { channel.pop }
        Nyario.sleep(0)
        channel << :second
        assert_equal :second, taker.value
      end
    end
  end

  def test_first_come_first_served_on_both_sides
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        takers = Array.new(10) { |n| Nyario.spawn { [n, channel.pop] } }
        Nyario.sleep(0)
        10.times { |n| channel << n }
        assert_equal Array.new(10) { |n| [n, n] }, takers.map(&:value)
        10.times { |n| Nyario.spawn { channel << n } }
        Nyario.sleep(0)
        assert_equal (0...10).to_a, Array.new(10) { channel.pop }
      end
    end
  end

  def test_close_wakes_all
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(1)
        takers = Array.new(3) { Nyario.spawn { channel.pop } }
        Nyario.sleep(0)
        refute_predicate channel, :closed?
        assert_same channel, channel.close
        assert_same channel, channel.close
        assert_predicate channel, :closed?
        assert_equal [nil, nil, nil], takers.map(&:value)
        assert_raises(ClosedQueueError) { channel << 1 }
        assert_raises(ClosedQueueError) { channel.push(1, timeout: 0) }

        channel = Nyario::Channel.new(1)
        channel << :kept
        givers = Array.new(3) { Nyario.spawn { assert_raises(ClosedQueueError) { channel << 2 } } }
        Nyario.sleep(0)
        channel.close
        givers.each(&:value)
        assert_equal [:kept, nil, nil], Array.new(3) { channel.pop }
      end
    end
  end

  def test_each_ends_with_the_channel
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(3)
        Nyario.spawn do
          5.times { |n| channel << n }
          channel << nil << false
          channel.close
        end
        seen = []
        assert_same(channel, channel.each { |value| seen << value })
        assert_equal [0, 1, 2, 3, 4, nil, false], seen
        assert_equal [], channel.each.to_a
        assert_equal [], channel.map { |value| value }
      end
    end
  end

  def test_time_outs
    isolated do
      channel = Nyario::Channel.new(1)
      tries = lambda do
        assert_nil channel.pop(timeout: 0)
        assert_nil channel.pop(timeout: 0.002)
        assert_same channel, channel.push(1, timeout: 0)
        assert_nil channel.push(2, timeout: 0)
        assert_nil channel.push(2, timeout: 0.002)
        assert_equal 1, channel.pop(timeout: 60)
        assert_equal 0, channel.size
        true
      end
      assert tries.call
      assert Nyario.run(&tries)
      assert_raises(ArgumentError) { channel.pop(timeout: -1) }
      assert_raises(ArgumentError) { channel.pop(time: 1) }
      assert_raises(ArgumentError) { channel.pop(1) }
      assert_raises(ArgumentError) { channel.push }
      assert_raises(ArgumentError) { Nyario::Channel.new(-1) }
      assert_raises(TypeError) { Nyario::Channel.new("1") }
      assert_raises(ArgumentError) { Nyario::Channel.new }
    end
  end

  def test_what_was_given_to_one_who_is_cancelled_goes_to_the_next
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        first = Nyario.spawn { channel.pop }
        second = Nyario.spawn { channel.pop }
        Nyario.sleep(0)
        # It has been given the value, and does not go on before it is cancelled.
        channel << :value
        first.cancel
        assert_equal :value, second.value
        assert_equal :cancelled, first.tap(&:join).status
        # With nobody behind it, the value is there for whoever comes.
        alone = Nyario.spawn { channel.pop }
        Nyario.sleep(0)
        channel << :again
        alone.cancel
        alone.join
        assert_equal :again, channel.pop
      end
    end
  end

  def test_one_who_is_cancelled_leaves_the_line
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        takers = Array.new(3) { Nyario.spawn { channel.pop } }
        Nyario.sleep(0)
        takers[1].cancel
        takers[1].join
        channel << 1 << 2
        assert_equal [1, 2], [takers[0].value, takers[2].value]
        givers = Array.new(3) { |n| Nyario.spawn { channel << n } }
        Nyario.sleep(0)
        givers[1].cancel
        givers[1].join
        assert_equal [0, 2], [channel.pop, channel.pop]
        assert_nil channel.pop(timeout: 0)
        assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.001) { channel.pop } }
        assert_nil channel.push(1, timeout: 0)
      end
    end
  end

  def test_a_value_and_the_end_of_the_time_at_once_do_not_end_the_next_wait
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        Nyario.spawn { Nyario.sleep(0.004) || channel.push(:value) }
        taker = Nyario.spawn do
          value = channel.pop(timeout: 0.005)
          began = now
          sleep 0.03
          [value, now - began]
        end
        Nyario.sleep(0)
        # Both times pass before the loop looks.
        moment = now + 0.01
        nil while now < moment
        value, slept = taker.value
        assert_equal :value, value
        assert_operator slept, :>=, 0.03
      end
    end
  end

  def test_between_threads_and_loops_nothing_is_lost
    isolated do
      channel = Nyario::Channel.new(3)
      push = ->(from) { 500.times { |n| channel << [from, n] } || true }
      pop = -> { channel.to_a }
      givers = [Thread.new { push.call(:thread) },
                Thread.new { Nyario.run { Nyario.spawn { push.call(:first) } && push.call(:second) } },
                Thread.new { Fiber.set_scheduler(Nyario::Scheduler.new) && Fiber.schedule { push.call(:fiber) } }]
      takers = [Thread.new(&pop), Thread.new { Nyario.run(&pop) },
                Thread.new { Nyario.run { Array.new(2) { Nyario.spawn(&pop) }.flat_map(&:value) } }]
      givers.each(&:join)
      channel.close
      taken = takers.map(&:value)
      all = %i[first second fiber thread].product((0...500).to_a)
      assert_equal all.sort, taken.flatten(1).sort
      # Each giver's values come in its order.
      taken[0].group_by(&:first).each_value { |values| assert_equal values.sort, values }
    end
  end

  def test_a_thread_that_waits_can_be_interrupted_and_loses_nothing
    isolated do
      channel = Nyario::Channel.new(0)
      killed = Thread.new { channel.pop }
      raised = Thread.new { assert_raises(KeyError) { channel.pop } }
      [killed, raised].each { |thread| Thread.pass until thread.stop? }
      killed.kill.join
      raised.raise(KeyError)
      raised.join
      taker = Thread.new { channel.pop }
      channel << :value
      assert_equal :value, taker.value
      trap(:USR1) { channel.close }
      Thread.new { Process.kill(:USR1, Process.pid) }
      assert_nil channel.pop
    end
  end

  def test_with_another_scheduler
    isolated do
      channel = Nyario::Channel.new(0)
      values = []
      Thread.new do
        Fiber.set_scheduler(Plain.new)
        Fiber.schedule { values << channel.pop << channel.pop(timeout: 0.001) }
        Fiber.schedule { channel << :value }
      end.join
      assert_equal [:value, nil], values
    end
  end

  def test_what_it_holds_is_marked
    isolated do
      channel = Nyario::Channel.new(1000)
      1000.times { |n| channel << "value #{n}" }
      Nyario.run do
        10.times { |n| Nyario.spawn { channel << "late #{n}" } }
        Nyario.sleep(0)
        GC.start
        GC.compact if GC.respond_to?(:compact)
        Array.new(20_000) { |n| "other #{n}" }
        assert_equal Array.new(1000) { |n| "value #{n}" }, Array.new(1000) { channel.pop }
        assert_equal Array.new(10) { |n| "late #{n}" }, Array.new(10) { channel.pop }
      end
    end
  end

  def test_what_was_handed_over_is_marked
    isolated do
      Nyario.run do
        channel = Nyario::Channel.new(0)
        takers = Array.new(100) { Nyario.spawn { channel.pop } }
        Nyario.sleep(0)
        hand_over(channel, 100)
        # Nobody has taken it up.
        GC.start
        Array.new(20_000) { |n| "other #{n}" }
        assert_equal Array.new(100) { |n| "handed #{n}" }, takers.map(&:value)
      end
    end
  end

  def test_fibers_of_a_loop_that_has_ended_and_threads_of_a_parent_are_passed_over
    isolated do
      channel = Nyario::Channel.new(0)
      thread = Thread.new { channel.pop }
      Thread.pass until thread.stop?
      child = fork do
        taker = Thread.new { channel.pop }
        Thread.pass until taker.stop?
        channel << :childs
        exit!(taker.value == :childs)
      end
      assert_predicate Process.wait2(child).last, :success?
      channel << :parents
      assert_equal :parents, thread.value
      # The loop ends and leaves it behind.
      Nyario.spawn do
        channel.pop
      rescue SystemCallError
        retry
      end
      Nyario.spawn { Nyario.stop }
      $stderr.reopen(File::NULL)
      Nyario.loop
      taker = Thread.new { channel.pop }
      Thread.pass until taker.stop?
      channel << :value
      assert_equal :value, taker.value
    end
  end

  def hand_over(channel, count)
    count.times { |n| channel << "handed #{n}" }
  end

  # A scheduler that knows how to block and to close, which is all that this needs.
  class Plain
    def initialize
      @ready = []
      @blocked = {}
    end

    def fiber(&block)
      Fiber.new(blocking: false, &block).tap(&:resume)
    end

    def block(_blocker, timeout = nil)
      @blocked[Fiber.current] = timeout
      Fiber.yield
    end

    def unblock(_blocker, fiber)
      @ready << fiber
    end

    def close
      until @blocked.empty?
        fiber = @ready.shift || @blocked.compact.keys.first
        Kernel.sleep(@blocked.delete(fiber) || 0)
        fiber.resume
      end
    end

    def io_wait(*) = raise(NotImplementedError)
    def kernel_sleep(*) = raise(NotImplementedError)
  end
end
