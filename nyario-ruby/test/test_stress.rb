# frozen_string_literal: true

require "helper"
require "monitor"

# One of each kind of wait while the garbage collector runs at every step.
class TestStress < NyarioTest
  BODIES = {
    sleep: -> { sleep(0.0001).class },
    queue: lambda do
      queue = Queue.new
      Fiber.schedule { queue << "queued" }
      queue.pop
    end,
    pipe: lambda do
      reader, writer = IO.pipe
      Fiber.schedule { writer.write("piped") && writer.close }
      reader.read
    end,
    socket: lambda do
      left, right = UNIXSocket.pair
      Fiber.schedule { left.write("x" * 300_000) && left.close }
      right.read.size
    end,
    accept: lambda do
      server = TCPServer.new("127.0.0.1", 0)
      Fiber.schedule { TCPSocket.new("127.0.0.1", server.local_address.ip_port).write("hello") }
      server.accept.readpartial(10)
    end,
    limit: -> { Timeout.timeout(0.001) { sleep } rescue $!.message },
    raise: lambda do
      fiber = Fiber.schedule { sleep rescue $!.message }
      fiber.raise("up")
      fiber.alive?
    end,
    close: lambda do
      reader, _other = IO.pipe
      Fiber.schedule { reader.close }
      reader.read rescue $!.class
    end,
    thread: -> { Thread.new { "thread" }.value },
    child: -> { Process.wait2(spawn("exit 3"))[1].exitstatus },
    enumerator: -> { Enumerator.new { |yielder| sleep(0) && yielder << :one }.next },
    monitor: -> { Monitor.new.synchronize { sleep(0.0001) && :held } },
    native: -> { UNIXSocket.pair.then { |left, right| Nyario.write(left, "native") && Nyario.read(right) } },
    task: -> { Nyario.spawn { Nyario.sleep(0.0001) || "task" }.value }
  }.freeze

  BODIES.each do |name, body|
    define_method("test_#{name}_in_a_scheduler") do
      isolated do
        expected = value_of(body)
        GC.stress = true
        stressed = value_of(body)
        GC.stress = false
        assert_equal [expected], [stressed]
      end
    end

    define_method("test_#{name}_in_a_loop") do
      isolated do
        expected = in_loop(&body)
        GC.stress = true
        stressed = in_loop(&body)
        GC.stress = false
        assert_equal [expected], [stressed]
      end
    end
  end

  private

  def value_of(body)
    value = nil
    scheduled do
      Fiber.schedule { value = body.call }
    end
    value
  end
end
