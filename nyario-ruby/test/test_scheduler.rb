# frozen_string_literal: true

require_relative "helper"
require "net/http"

# Ruby's own blocking calls under Nyario::Scheduler.
class SchedulerTest < Minitest::Test
  include Helper

  def test_sleepers_sleep_at_once
    order = isolated_value do
      begun_together(0.02) do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        order = []
        [3, 1, 2].each { |n| Fiber.schedule { sleep(n * 0.02); order << n } }
        order << 0
        -> { Fiber.set_scheduler(nil) || order }
      end
    end
    assert_equal [0, 1, 2, 3], order
  end

  def test_a_fiber_runs_at_once_until_it_waits
    order = isolated_value do
      order = []
      scheduled do
        order << 1
        Fiber.schedule do
          order << 2
          Fiber.schedule { order << 3; sleep 0; order << 5 }
          order << 4
        end
        order << 4.5
      end
      order
    end
    assert_equal [1, 2, 3, 4], order.take(4)
    assert_equal [1, 2, 3, 4, 4.5, 5], order.sort
  end

  def test_pipes_carry_bytes_between_fibers
    text = isolated_value do
      text = nil
      scheduled do
        reader, writer = IO.pipe
        Fiber.schedule { text = reader.read }
        Fiber.schedule do
          3.times { |n| writer.write("line #{n}\n"); sleep 0.01 }
          writer.close
        end
      end
      text
    end
    assert_equal "line 0\nline 1\nline 2\n", text
  end

  def test_a_pipe_without_bytes_is_not_read_without_waiting
    isolated do
      scheduled do
        reader, _writer = IO.pipe
        Fiber.schedule { assert_equal :wait_readable, reader.read_nonblock(10, exception: false) }
      end
    end
  end

  def test_sockets_serve_and_ask
    isolated do
      answers = []
      scheduled do
        server = TCPServer.new("127.0.0.1", 0)
        port = server.local_address.ip_port
        Fiber.schedule do
          10.times do
            client = server.accept
            Fiber.schedule do
              while (line = client.gets)
                client.write(line.upcase)
              end
              client.close
            end
          end
          server.close
        end
        10.times do |n|
          Fiber.schedule do
            socket = TCPSocket.new("127.0.0.1", port)
            socket.puts("hello #{n}")
            answers << socket.gets
            socket.close
          end
        end
      end
      assert_equal (0...10).map { |n| "HELLO #{n}\n" }, answers.sort
    end
  end

  def test_large_writes_wait_for_their_reader
    isolated do
      size = nil
      scheduled do
        left, right = UNIXSocket.pair
        Fiber.schedule { left.write("x" * 5_000_000); left.close }
        Fiber.schedule { size = right.read.bytesize }
      end
      assert_equal 5_000_000, size
    end
  end

  def test_mutexes_queues_and_conditions
    isolated do
      seen = []
      scheduled do
        mutex, queue, condition = Mutex.new, Queue.new, ConditionVariable.new
        ready = false
        Fiber.schedule { mutex.synchronize { condition.wait(mutex) until ready; seen << :condition } }
        Fiber.schedule { seen << queue.pop }
        Fiber.schedule do
          mutex.synchronize { sleep 0.01; ready = true; condition.signal }
          queue << :popped
        end
      end
      assert_equal %i[condition popped], seen.sort
    end
  end

  def test_threads_are_joined_and_unblock
    isolated do
      seen = []
      scheduled do
        queue = Queue.new
        Fiber.schedule { seen << queue.pop }
        Fiber.schedule { seen << Thread.new { sleep 0.02; queue << 1; 2 }.value }
      end
      assert_equal [1, 2], seen.sort
    end
  end

  def test_a_join_has_a_time_out
    skip "Ruby's own Thread#join(timeout) waits to the end on a fiber before 3.2 (Bug #19709)" if RUBY_VERSION.to_f < 3.2

    isolated do
      seen = []
      scheduled { Fiber.schedule { seen << Thread.new { sleep 5 }.join(0.01) } }
      assert_equal [nil], seen
    end
  end

  def test_a_time_out_is_raised_where_the_fiber_waits
    isolated do
      seen = []
      scheduled do
        Fiber.schedule do
          Timeout.timeout(0.02) { sleep }
        rescue Timeout::Error => error
          seen << error.message
        end
        Fiber.schedule { seen << Timeout.timeout(5) { sleep 0.01; :done } }
        Fiber.schedule do
          reader, _other = IO.pipe
          Timeout.timeout(0.02) { reader.read }
        rescue Timeout::Error
          seen << :reader
        end
      end
      assert_equal ["done", "execution expired", "reader"], seen.map(&:to_s).sort
    end
  end

  def test_nested_time_outs
    isolated do
      seen = []
      scheduled do
        Fiber.schedule do
          Timeout.timeout(60) do
            begin
              Timeout.timeout(0.01) { sleep }
            rescue Timeout::Error
              seen << :inner
            end
            sleep 0.02
            seen << :after
          end
        end
      end
      assert_equal %i[inner after], seen
    end
  end

  def test_children_are_waited_for
    isolated do
      seen = []
      scheduled do
        3.times { |n| Fiber.schedule { seen << [n, system("exit #{n}"), $?.exitstatus] } }
        Fiber.schedule { seen << [3, `echo hello`] }
      end
      assert_equal [[0, true, 0], [1, false, 1], [2, false, 2], [3, "hello\n"]], seen.sort_by(&:first)
    end
  end

  def test_names_are_resolved
    isolated do
      seen = nil
      scheduled do
        server = TCPServer.new("127.0.0.1", 0)
        Fiber.schedule { server.accept.write("hello") }
        Fiber.schedule { seen = TCPSocket.new("localhost", server.local_address.ip_port).read(5) }
      end
      assert_equal "hello", seen
    end
  end

  def test_http
    isolated do
      bodies = []
      scheduled do
        server = TCPServer.new("127.0.0.1", 0)
        Fiber.schedule do
          5.times do
            client = server.accept
            Fiber.schedule do
              nil until client.gets == "\r\n"
              sleep 0.01
              client.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
              client.close
            end
          end
        end
        uri = URI("http://127.0.0.1:#{server.local_address.ip_port}/")
        5.times { Fiber.schedule { bodies << Net::HTTP.get(uri) } }
      end
      assert_equal ["hello"] * 5, bodies
    end
  end

  def test_a_failure_is_reported_and_the_others_go_on
    isolated do
      done = false
      text = stderr_of do
        scheduled do
          Fiber.schedule { raise "something" }
          Fiber.schedule { sleep 0.01; done = true }
        end
      end
      assert done
      assert_includes text, "something"
    end
  end

  def test_enumerators_and_nested_fibers
    isolated do
      seen = []
      scheduled do
        Fiber.schedule do
          numbers = Enumerator.new { |y| 3.times { |n| sleep 0.001; y << n } }
          seen << numbers.next << numbers.next
          inner = Fiber.new { sleep 0.001; Fiber.yield :a; :b }
          seen << inner.resume << inner.resume
        end
      end
      assert_equal [0, 1, :a, :b], seen
    end
  end

  def test_a_resumed_fiber_waits_before_the_scheduler_runs
    isolated do
      seen = []
      scheduled do
        Fiber.new { sleep 0.01; seen << 1 }.resume
        seen << 2
      end
      assert_equal [1, 2], seen.sort
    end
  end

  def test_a_scheduler_can_be_extended
    isolated do
      calls = []
      scheduler = Class.new(Nyario::Scheduler) do
        define_method(:kernel_sleep) { |*arguments| calls << arguments; super(*arguments) }
      end
      Thread.new do
        Fiber.set_scheduler(scheduler.new)
        Fiber.schedule { sleep 0.001 }
      end.join
      assert_equal [[0.001]], calls
    end
  end

  def test_many_loops_one_after_the_other
    isolated do
      before = Dir.children("/proc/self/fd").size
      20.times { scheduled { Fiber.schedule { sleep 0 } } }
      assert_equal before, Dir.children("/proc/self/fd").size
    end
  end

  def test_thousands_of_fibers
    isolated do
      count = 0
      scheduled { 5_000.times { Fiber.schedule { sleep 0.01; count += 1 } } }
      assert_equal 5_000, count
    end
  end

  if RUBY_VERSION.to_f >= 3.2
    def test_select
      isolated do
        one, two = IO.pipe, IO.pipe
        none = some = :nothing
        scheduled do
          Fiber.schedule { none = IO.select([one[0]], nil, nil, 0.001) }
          Fiber.schedule { some = IO.select([one[0], two[0]]) }
          Fiber.schedule { sleep 0.02; two[1].write("x") }
        end
        assert_equal [nil, [[two[0]], [], []]], [none, some]
      end
    end
  end

  private

  # As isolated, and returns the block's value.
  def isolated_value(&block)
    file = File.join(Dir.tmpdir, "nyario-value-#{Process.pid}-#{rand(1 << 30)}")
    isolated { File.binwrite(file, Marshal.dump(block.call)) }
    Marshal.load(File.binread(file))
  ensure
    File.delete(file) if file && File.exist?(file)
  end
end
