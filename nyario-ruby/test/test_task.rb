# frozen_string_literal: true

require "helper"

class TestTask < NyarioTest
  def test_runs_when_the_loop_does
    isolated do
      ran = false
      task = Nyario.spawn { ran = true }
      refute ran
      assert_predicate task, :alive?
      Nyario.loop
      assert ran
      refute_predicate task, :alive?
      assert_same task, task.join
      assert_equal true, task.value
    end
  end

  def test_value_waits
    isolated do
      in_loop do
        order = []
        task = Nyario.spawn do
          Nyario.sleep(0.02)
          order << :task
          [1, 2]
        end
        assert_predicate task, :alive?
        assert_equal [1, 2], task.value
        order << :joined
        assert_equal %i[task joined], order
        assert_equal [1, 2], task.value
        assert_same task, task.join
      end
    end
  end

  def test_value_raises_what_the_task_raised
    isolated do
      errors = stderr_of do
        in_loop do
          task = Nyario.spawn do
            Nyario.sleep(0)
            raise KeyError, "gone"
          end
          error = assert_raises(KeyError) { task.value }
          assert_same(error, assert_raises(KeyError) { task.value })
          assert_match(/#{File.basename(__FILE__)}/, error.backtrace.first)
          assert_same task, task.join
        end
      end
      assert_empty errors
    end
  end

  def test_a_failure_that_nobody_hears_is_reported
    isolated do
      errors = stderr_of do
        Nyario.spawn { raise KeyError, "unheard" }
        Nyario.spawn { throw :nobody }
        Nyario.spawn { Nyario.sleep(0) }
        Nyario.loop
      end
      assert_equal 2, errors.scan("a task failed").size, errors
      assert_match(/unheard.*KeyError/, errors)
      assert_match(/uncaught throw :nobody/, errors)
    end
  end

  def test_a_report_that_waits_for_room_is_not_lost
    isolated do
      reader, writer = IO.pipe
      filled = 0
      loop { filled += writer.write_nonblock("x" * 4096) }
    rescue IO::EAGAINWaitWritable
      before = $stderr
      $stderr = writer
      Nyario.spawn { raise KeyError, "unheard" }
      drain = Thread.new do
        Kernel.sleep 0.1
        reader.read
      end
      Nyario.loop
      $stderr = before
      writer.close
      assert_match(/unheard.*KeyError/, drain.value.byteslice(filled..))
    end
  end

  def test_several_wait_for_one
    isolated do
      in_loop do
        task = Nyario.spawn do
          Nyario.sleep(0.02)
          :done
        end
        joiners = Array.new(50) { Nyario.spawn { task.value } }
        assert_equal [:done] * 50, joiners.map(&:value)
      end
    end
  end

  def test_waiting_for_itself_is_refused
    isolated do
      in_loop do
        task = nil
        task = Nyario.spawn do
          assert_raises(RuntimeError) { task.join }
          assert_raises(RuntimeError) { task.value }
          Fiber.new { assert_raises(RuntimeError) { task.join } }.resume
          Nyario.sleep(0)
          assert_raises(RuntimeError) { task.join }
          :survived
        end
        assert_equal :survived, task.value
      end
    end
  end

  def test_waiting_for_a_loop_that_does_not_run_is_refused
    isolated do
      task = Nyario.spawn { Nyario.sleep(0) }
      assert_raises(RuntimeError) { task.join }
      assert_raises(RuntimeError) { task.value }
      Nyario.loop
      assert_same task, task.join
    end
  end

  def test_waiting_on_another_thread_and_on_another_loop
    isolated do
      gate = Thread::Queue.new
      task = Nyario.spawn { gate.pop }
      failing = Nyario.spawn { gate.pop && raise(KeyError) }
      threads = [Thread.new { task.value }, Thread.new { Nyario.run { task.value } },
                 Thread.new { Fiber.set_scheduler(Nyario::Scheduler.new) && Fiber.schedule { task.value } && :quit }]
      error = Thread.new { assert_raises(KeyError) { failing.value } }
      (threads + [error]).each { |thread| Thread.pass until thread.stop? }
      Nyario.spawn { 2.times { gate << :opened } }
      Nyario.loop
      assert_equal %i[opened opened quit], threads.map(&:value)
      assert_instance_of KeyError, error.value
    end
  end

  def test_a_thread_that_waits_for_a_task_can_be_killed_and_interrupted
    isolated do
      Nyario.run do
        gate = Thread::Queue.new
        task = Nyario.spawn { gate.pop }
        killed = Thread.new { task.join }
        raised = Thread.new { assert_raises(KeyError) { task.join } }
        [killed, raised].each { |thread| Nyario.sleep(0.001) until thread.stop? }
        killed.kill.join
        raised.raise(KeyError)
        assert_instance_of KeyError, raised.value
        gate << :value
        assert_equal :value, task.value
      end
    end
  end

  def test_join_with_a_time_out
    isolated do
      Nyario.run do
        gate = Thread::Queue.new
        task = Nyario.spawn { gate.pop }
        assert_nil task.join(0)
        assert_nil task.join(0.001)
        assert_nil(Thread.new { task.join(0.001) }.value)
        gate << :value
        assert_same task, task.join(60)
        assert_same task, task.join(0)
        assert_raises(ArgumentError) { task.join(-1) }
        assert_raises(ArgumentError) { task.join(1, 2) }
      end
    end
  end

  def test_status_and_name
    isolated do
      task = Nyario.spawn(name: :worker) do
        assert_equal :running, task.status
        assert_same Fiber.current, task.fiber
        Nyario.sleep(0.01)
      end
      assert_equal :ready, task.status
      assert_equal "worker", task.name
      assert_instance_of Fiber, task.fiber
      failing = Nyario.spawn(name: nil) { Nyario.sleep(0.005) || raise(KeyError) }
      assert_nil failing.name
      Nyario.run do
        Nyario.sleep(0)
        assert_equal :waiting, task.status
        assert_raises(KeyError) { failing.value }
        assert_equal :failed, failing.status
      end
      assert_equal :finished, task.status
      assert_nil task.fiber
      assert_raises(ArgumentError) { Nyario.spawn(nom: 1) { nil } }
      assert_raises(ArgumentError) { Nyario.spawn(1) { nil } }
    end
  end

  def test_a_thread_does_not_wait_for_what_its_loop_has_left_behind
    isolated do
      stubborn = Nyario.spawn do
        Nyario.sleep(60)
      rescue SystemCallError
        retry
      end
      waiting = Thread.new { assert_raises(RuntimeError) { stubborn.join } }
      Thread.pass until waiting.stop?
      Nyario.spawn { Nyario.stop }
      $stderr.reopen(File::NULL)
      Nyario.loop
      assert_instance_of RuntimeError, waiting.value
    end
  end

  def test_an_abandoned_task_of_an_earlier_loop
    isolated do
      stubborn = Nyario.spawn do
        Nyario.sleep(10)
      rescue SystemCallError
        retry
      end
      Nyario.spawn { Nyario.stop }
      # That it is abandoned is said on the descriptor itself.
      $stderr.reopen(File::NULL)
      Nyario.loop
      assert_predicate stubborn, :alive?
      in_loop { assert_raises(RuntimeError) { stubborn.join } }
      GC.start
      assert_raises(RuntimeError) { stubborn.value }
    end
  end

  def test_spawned_by_a_handler
    isolated do
      handler = lambda do |connection|
        text = connection.read
        connection.write(Nyario.spawn { text.upcase }.value)
      end
      serving(handler) do |server|
        peer = connect(server)
        peer.write("abc")
        assert_equal "ABC", peer.read
      end
    end
  end

  def test_ten_thousand
    isolated do
      in_loop do
        sum = 0
        tasks = Array.new(10_000) do |n|
          Nyario.spawn do
            Nyario.sleep(rand / 100)
            sum += n
          end
        end
        tasks.each(&:join)
        assert_equal 49_995_000, sum
      end
    end
  end

  def test_more_at_once_than_are_kept_and_again
    isolated do
      in_loop do
        3.times do
          tasks = Array.new(1500) { |n| Nyario.spawn { Nyario.sleep(0.01) || n } }
          assert_equal (0...1500).to_a, tasks.map(&:value)
          # A task that begins where another has just left.
          chain = lambda { |depth| depth.zero? ? 0 : 1 + Nyario.spawn { chain.call(depth - 1) }.value }
          assert_equal 50, chain.call(50)
        end
      end
    end
  end

  def test_needs_a_block
    isolated do
      assert_raises(ArgumentError) { Nyario.spawn }
      assert_raises(TypeError) { Nyario::Task.new }
      Nyario.loop
    end
  end

  def test_a_task_that_is_left_by_break_or_return
    isolated do
      errors = stderr_of do
        leave_by_return
        leave_by_break
        Nyario.loop
      end
      assert_equal 2, errors.scan("a task failed").size, errors
      assert_equal 2, errors.scan("LocalJumpError").size, errors
    end
  end

  def test_an_exit_in_a_task_ends_the_loop
    isolated do
      cleaned = false
      Nyario.spawn do
        Nyario.sleep(10)
      ensure
        cleaned = true
      end
      Nyario.spawn { exit 3 }
      error = assert_raises(SystemExit) { Nyario.loop }
      assert_equal 3, error.status
      assert cleaned
    end
  end

  private

  def leave_by_return
    Nyario.spawn { return 1 }
  end

  def leave_by_break
    Nyario.spawn { break 1 }
  end
end
