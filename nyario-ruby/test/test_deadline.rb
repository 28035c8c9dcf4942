# frozen_string_literal: true

require "helper"

class TestDeadline < NyarioTest
  def test_whatever_waits_is_left_in_time
    isolated do
      Nyario.run do
        reader, writer = IO.pipe
        waits = { sleep: -> { Nyario.sleep(60) }, kernel: -> { sleep(60) }, read: -> { reader.readpartial(1) },
                  native: -> { Nyario.read(reader) }, queue: -> { Thread::Queue.new.pop },
                  join: -> { Nyario.spawn { Nyario.sleep(0.3) }.join }, channel: -> { Nyario::Channel.new(0).pop },
                  nested: -> { Fiber.new { Nyario.sleep(60) }.resume } }
        waits.each do |name, wait|
          error = assert_raises(Nyario::TimeoutError, name.to_s) { Nyario.timeout(0.005) { wait.call } }
          assert_kind_of Timeout::Error, error
          assert_includes error.backtrace.join, File.basename(__FILE__)
          assert_nil error.cause
        end
        writer.close
      end
    end
  end

  def test_the_blocks_value_and_no_late_error
    isolated do
      Nyario.run do
        assert_equal 1, Nyario.timeout(60) { 1 }
        assert_equal 2, Nyario.timeout(nil) { Nyario.sleep(0) || 2 }
        # The time is up while the block does not wait.
        assert_equal 3, Nyario.timeout(0.001) { spin(0.005) || 3 }
        assert_equal 4, Nyario.timeout(0) { 4 }
        Nyario.sleep(0.005)
        Nyario.sleep(0)
        assert_raises(Nyario::TimeoutError) { Nyario.timeout(0) { Nyario.sleep(60) } }
      end
    end
  end

  def test_each_raises_for_its_own_block_only
    isolated do
      Nyario.run do
        inner_met = false
        assert_raises(Nyario::TimeoutError) do
          Nyario.timeout(0.005) do
            Nyario.timeout(60) { Nyario.sleep(60) }
          rescue Nyario::TimeoutError, Timeout::Error
            inner_met = true
          end
        end
        refute inner_met
        steps = []
        Nyario.timeout(60) do
          assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.001) { Nyario.sleep(60) } }
          steps << :went_on
        end
        assert_equal %i[went_on], steps
      end
    end
  end

  def test_both_at_the_same_moment
    isolated do
      Nyario.run do
        moment = now + 0.005
        steps = []
        assert_raises(Nyario::TimeoutError) do
          Nyario.deadline(moment) do
            begin
              Nyario.deadline(moment) { Nyario.sleep(60) }
            rescue Nyario::TimeoutError
              steps << :inner
            end
            Nyario.sleep(60)
          end
        end
        assert_includes [[], [:inner]], steps
        Nyario.sleep(0.001)
      end
    end
  end

  def test_ensures_run_and_may_wait
    isolated do
      Nyario.run do
        order = []
        assert_raises(Nyario::TimeoutError) do
          Nyario.timeout(0.001) do
            Nyario.sleep(60)
          rescue StandardError
            order << :never
          ensure
            Nyario.sleep(0.002)
            order << :slept
          end
        end
        assert_equal %i[slept], order
      end
    end
  end

  def test_a_cancel_in_the_block_stays_a_cancel
    isolated do
      Nyario.run do
        task = Nyario.spawn { Nyario.timeout(60) { Nyario.sleep(60) } }
        Nyario.sleep(0)
        task.cancel
        task.join
        assert_equal :cancelled, task.status
      end
    end
  end

  def test_a_write_of_which_part_is_gone
    isolated do
      Nyario.run do
        reader, writer = UNIXSocket.pair
        text = "x" * (1 << 22)
        assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.005) { Nyario.write(writer, text) } }
        text << "y"
        writer.close
        assert_equal "", reader.read.delete("x")
      end
    end
  end

  def test_it_is_left_by_break_return_throw_and_raise
    isolated do
      Nyario.run do
        assert_equal 1, leave_by_return
        assert_equal(2, Nyario.timeout(0.001) { break 2 })
        assert_equal(3, catch(:done) { Nyario.timeout(0.001) { throw :done, 3 } })
        assert_raises(KeyError) { Nyario.timeout(0.001) { raise KeyError } }
        Nyario.sleep(0.005)
        Nyario.sleep(0)
      end
    end
  end

  def test_the_moment_in_force
    isolated do
      Nyario.run do
        assert_nil Nyario.deadline
        moment = now + 60
        Nyario.deadline(moment) do
          assert_in_delta moment, Nyario.deadline, 1e-6
          Nyario.timeout(600) { assert_in_delta moment, Nyario.deadline, 1e-6 }
          Nyario.deadline(moment - 10) { assert_in_delta moment - 10, Nyario.deadline, 1e-6 }
          assert_in_delta moment, Nyario.deadline, 1e-6
          # It is the fiber's own.
          assert_nil Nyario.spawn { Nyario.deadline }.value
        end
        assert_nil Nyario.deadline
        assert_raises(KeyError) { Nyario.timeout(1) { raise KeyError } }
        assert_nil Nyario.deadline
      end
    end
  end

  def test_on_scheduled_fibers_and_off_a_loop
    isolated do
      assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.005) { sleep 60 } }
      assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.005) { Nyario.sleep(60) } }
      assert_equal 1, Nyario.timeout(60) { 1 }
      # Off a loop the limit is Ruby's own, which may yet come while it is left.
      assert_equal 1, leave_by_return(60)
      met = false
      assert_raises(Nyario::TimeoutError) do
        Nyario.timeout(0.005) do
          Nyario.timeout(60) { sleep 60 }
        rescue Nyario::TimeoutError
          met = true
        end
      end
      refute met
      error = nil
      Thread.new do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { error = assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.005) { sleep 60 } } }
      end.join
      assert_instance_of Nyario::TimeoutError, error
    end
  end

  def test_arguments
    isolated do
      assert_raises(ArgumentError) { Nyario.timeout(-1) { nil } }
      assert_raises(ArgumentError) { Nyario.timeout(Float::NAN) { nil } }
      assert_raises(ArgumentError) { Nyario.timeout(1) }
      assert_raises(ArgumentError) { Nyario.deadline(1) }
      assert_raises(ArgumentError) { Nyario.deadline { nil } }
      assert_raises(TypeError) { Nyario.timeout("1") { nil } }
    end
  end

  private

  # Lets time pass without waiting.
  def spin(seconds)
    moment = now + seconds
    nil while now < moment
  end

  def leave_by_return(seconds = 0.001)
    Nyario.timeout(seconds) { return 1 }
  end
end
