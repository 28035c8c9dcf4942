# frozen_string_literal: true

require "fcntl"
require "helper"

# An IO that is closed while a fiber waits for it: that fiber is told, and the number is free for whatever comes next.
class TestClosing < NyarioTest
  # How a fiber may wait for the first of two ends.
  WAITS = {
    read: ->(io) { io.read(1) },
    readpartial: ->(io) { io.readpartial(1) },
    gets: ->(io) { io.gets },
    sysread: ->(io) { io.wait_readable; io.sysread(1) },
    wait_readable: ->(io) { io.wait_readable },
    wait_a_while: ->(io) { io.wait_readable(60) },
    native: ->(io) { Nyario.read(io) }
  }.freeze

  ENDS = { pipe: -> { IO.pipe }, socket: -> { UNIXSocket.pair } }.freeze

  def each_way
    ENDS.each { |kind, make| WAITS.each { |name, wait| yield make.call, wait, [kind, name] } }
  end

  # What comes of a wait: the exception's class, or the value.
  def outcome_of(io, wait)
    wait.call(io)
  rescue IOError, SystemCallError => e
    e.class
  end

  def test_by_another_fiber
    isolated do
      seen = {}
      scheduled do
        each_way do |ends, wait, name|
          Fiber.schedule { seen[name] = outcome_of(ends[0], wait) }
          Fiber.schedule do
            sleep 0.001
            ends[0].close
          end
        end
      end
      each_way { |_, _, name| assert_equal IOError, seen[name], name }
    end
  end

  def test_by_another_thread
    isolated do
      seen = {}
      each_way do |ends, wait, name|
        begun = Queue.new
        closer = Thread.new { begun.pop && ends[0].close }
        scheduled do
          Fiber.schedule { seen[name] = outcome_of(ends[0], wait) }
          Fiber.schedule { begun << true }
        end
        closer.join
        assert_equal IOError, seen[name], name
      end
    end
  end

  def test_of_a_server_that_accepts
    isolated do
      seen = []
      scheduled do
        server = listener
        Fiber.schedule { seen << outcome_of(server, :accept.to_proc) }
        Fiber.schedule { server.close }
      end
      assert_equal [IOError], seen
    end
  end

  def test_of_what_is_written
    if ("3.2"..."3.3.1").cover?(RUBY_VERSION)
      skip "this Ruby raises in whoever closes it, while the writer waits, and then closes nothing"
    end

    isolated do
      seen = []
      scheduled do
        ENDS.each_value do |make|
          # A pipe's second end is the one that is written.
          ends = make.call
          Fiber.schedule { seen << outcome_of(ends[1], ->(io) { io.write("x" * 5_000_000) }) }
          Fiber.schedule do
            sleep 0.001
            ends[1].close
          end
        end
      end
      assert_equal [IOError, IOError], seen
    end
  end

  def test_several_waiters_are_all_told
    isolated do
      seen = []
      scheduled do
        ENDS.each_value do |make|
          ends = make.call
          WAITS.each_value { |wait| Fiber.schedule { seen << outcome_of(ends[0], wait) } }
          Fiber.schedule { ends[0].close }
        end
      end
      assert_equal [IOError] * (ENDS.size * WAITS.size), seen
    end
  end

  def test_the_number_is_reused_at_once
    isolated do
      counts = []
      scheduled do
        each_way do |_, wait, (kind, name)|
          Fiber.schedule { counts << reuse(ENDS[kind], wait, name) }
        end
      end
      assert_equal [10] * (ENDS.size * WAITS.size), counts
    end
  end

  def test_in_a_loop
    isolated do
      in_loop do
        each_way do |ends, wait, name|
          task = Nyario.spawn { outcome_of(ends[0], wait) }
          Nyario.sleep(0)
          ends[0].close
          assert_equal IOError, task.value, name
        end
      end
    end
  end

  private

  # Ten times over, a file under the number of one that somebody still waits for: how often both waiters fared well.
  def reuse(make, wait, name)
    10.times.count do
      (old, peer), (reader, writer) = make.call, make.call
      told = got = nil
      Fiber.schedule { told = outcome_of(old, wait) }
      number = old.fileno
      old.close
      reused = reader.class.for_fd(reader.fcntl(Fcntl::F_DUPFD, number))
      unless reused.fileno == number
        # A close may let others run, and one of them was quicker.
        [reused, peer, reader, writer].each(&:close)
        redo
      end
      Fiber.schedule { got = reused.readpartial(10) }
      writer.write("new")
      sleep 0.001 until told && got
      [reused, peer, reader, writer].each(&:close)
      assert_equal [IOError, "new"], [told, got], name
    end
  end
end
