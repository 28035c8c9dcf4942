# frozen_string_literal: true

require_relative "helper"

# Whoever is always ready does not keep those waiting who have news of the kernel.
class FairTest < Minitest::Test
  include Helper

  def test_time_goes_on_beside_those_who_only_give_way
    isolated do
      done = false
      scheduled do
        2.times { Fiber.schedule { sleep 0 until done } }
        Fiber.schedule { sleep 0.01; done = true }
      end
      assert done
    end
  end

  def test_bytes_arrive_beside_those_who_hand_each_other_work
    isolated do
      read = nil
      scheduled do
        left, right = UNIXSocket.pair
        there, back = Queue.new, Queue.new
        Fiber.schedule { back << there.pop until read }
        Fiber.schedule { (there << 1; back.pop) until read; there << 1 }
        Fiber.schedule { read = left.readpartial(10) }
        Thread.new { Kernel.sleep 0.01; right.write("bytes") }
      end
      assert_equal "bytes", read
    end
  end

  def test_a_thread_ends_its_wait_beside_them
    isolated do
      value = nil
      scheduled do
        Fiber.schedule { sleep 0 until value }
        Fiber.schedule { value = Thread.new { Kernel.sleep 0.01; 5 }.value }
      end
      assert_equal 5, value
    end
  end

  def test_tasks_are_as_fair
    isolated do
      done = false
      in_loop do
        Nyario.spawn { Nyario.sleep(0) until done }
        Nyario.sleep(0.01)
        done = true
      end
      assert done
    end
  end
end
