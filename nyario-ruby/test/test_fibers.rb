# frozen_string_literal: true

require "helper"

# Fibers that Ruby code makes within the loop's, and exceptions that come to a fiber from outside.
class TestFibers < NyarioTest
  def test_an_enumerator_that_reads
    isolated do
      handler = lambda do |connection|
        lines = Enumerator.new do |yielder|
          rest = +""
          while (data = connection.read)
            rest << data
            while (line = rest.slice!(/\A.*\n/))
              yielder << line
            end
          end
        end
        first = lines.next
        connection.write("first #{first}")
        connection.write("peek #{lines.peek}")
        connection.write("next #{lines.next}")
        loop { connection.write("more #{lines.next}") }
        connection.write("end")
      end
      serving(handler) do |server|
        peer = connect(server)
        "one\ntwo\nthree\nfour\n".each_char.each_slice(3) do |part|
          peer.write(part.join)
          Kernel.sleep 0.01
        end
        peer.close_write
        assert_equal "first one\npeek two\nnext two\nmore three\nmore four\nend", peer.read
      end
    end
  end

  def test_fibers_within_fibers_wait_and_yield
    isolated do
      in_loop do
        reader, writer = IO.pipe
        inner = Fiber.new do |n|
          loop do
            deeper = Fiber.new { Nyario.read(reader, n) }
            n = Fiber.yield(deeper.resume)
          end
        end
        Nyario.spawn do
          "abcdef".each_char do |char|
            Nyario.sleep(0.005)
            Nyario.write(writer, char)
          end
        end
        got = +""
        got << inner.resume(2) while got.size < 6
        assert_equal "abcdef", got
      end
    end
  end

  def test_many_enumerators_at_once
    isolated do
      in_loop do
        tasks = Array.new(200) do |n|
          Nyario.spawn do
            numbers = Enumerator.new do |yielder|
              3.times do |m|
                Nyario.sleep(rand / 100)
                yielder << (n * m)
              end
            end
            other = numbers.dup
            [numbers.next, other.next, numbers.next, other.next, numbers.next, other.next]
          end
        end
        tasks.each_with_index { |task, n| assert_equal [0, 0, n, n, 2 * n, 2 * n], task.value }
      end
    end
  end

  def test_a_fiber_that_one_job_makes_and_another_resumes
    isolated do
      in_loop do
        fiber = Fiber.new do
          Nyario.sleep(0.01)
          Fiber.yield(1)
          Nyario.sleep(0.01)
          2
        end
        assert_equal 1, Nyario.spawn { fiber.resume }.value
        assert_equal 2, Nyario.spawn { fiber.resume }.value
        refute_predicate fiber, :alive?
      end
    end
  end

  def test_yielding_from_the_loops_own_fiber_is_a_failure
    isolated do
      in_loop { assert_raises(FiberError) { Fiber.yield } }
    end
  end

  # What a fiber does that is parked, and the exception that comes to it.
  WAITS = {
    sleep: ->(_, _) { Nyario.sleep(10) },
    read: ->(pair, _) { Nyario.read(pair[0]) },
    write: ->(pair, text) { Nyario.write(pair[0], text) },
    join: ->(_, _) { Nyario.spawn { Nyario.sleep(0.3) }.join }
  }.freeze

  WAITS.each do |name, wait|
    define_method("test_raising_in_a_fiber_of_the_loop_that_waits_to_#{name}") do
      isolated do
        in_loop do
          pair = UNIXSocket.pair
          text = Random.new(4).bytes(2_000_000)
          fiber = nil
          log = []
          task = Nyario.spawn do
            fiber = Fiber.current
            begin
              wait.call(pair, text)
            rescue KeyError => e
              log << e.message
            end
            log << Nyario.spawn { 1 }.value
            Nyario.sleep(0.02)
            :usable
          end
          Nyario.sleep(0.02)
          fiber.raise(KeyError, "poke")
          # Whoever raised goes on.
          log << :raiser
          assert_equal :usable, task.value
          assert_equal ["poke", 1, :raiser].sort_by(&:to_s), log.sort_by(&:to_s)
          # The write has let go of its string, and what it sent is what it was.
          text.replace("x" * 2_000_000)
          pair[0].close
          sent = +"".b
          while (data = Nyario.read(pair[1]))
            sent << data
          end
          assert_equal Random.new(4).bytes(2_000_000)[0, sent.bytesize], sent
          Nyario.sleep(0.35)
        end
      end
    end

    define_method("test_raising_in_a_fiber_of_the_jobs_that_waits_to_#{name}") do
      isolated do
        in_loop do
          pair = UNIXSocket.pair
          text = Random.new(4).bytes(2_000_000)
          fiber = nil
          task = Nyario.spawn do
            fiber = Fiber.new { wait.call(pair, text) }
            error = assert_raises(KeyError) { fiber.resume }
            assert_equal "poke", error.message
            refute_predicate fiber, :alive?
            Nyario.sleep(0.02)
            Fiber.new { Nyario.sleep(0.02) }.resume
            :usable
          end
          Nyario.sleep(0.02)
          fiber.raise(KeyError, "poke")
          assert_equal :usable, task.value
          text << "free"
          # Its completion, when it comes, meets nobody.
          Nyario.write(pair[1], "late")
          Nyario.sleep(0.35)
        end
      end
    end
  end

  def test_raising_again_and_again
    isolated do
      in_loop do
        ours = theirs = nil
        count = 0
        task = Nyario.spawn do
          ours = Fiber.current
          while count < 300
            begin
              Nyario.sleep(10)
            rescue KeyError
              count += 1
            end
          end
          while count < 600
            theirs = Fiber.new { Nyario.sleep(10) }
            assert_raises(KeyError) { theirs.resume }
            count += 1
          end
          :done
        end
        600.times do |n|
          Nyario.sleep(0)
          # What waits within another is the inner one; the outer one refuses, or hands it on since Ruby 3.3.
          hands_on = RUBY_VERSION.to_f >= 3.3
          assert_raises(FiberError) { ours.raise(KeyError, "refused") } if n > 300 && !hands_on
          (n < 300 || hands_on ? ours : theirs).raise(KeyError, "again")
          assert_equal n + 1, count
        end
        assert_equal :done, task.value
      end
    end
  end

  def test_transferring_to_a_parked_fiber_does_not_wake_it
    isolated do
      in_loop do
        fiber = nil
        woken = false
        reader, writer = IO.pipe
        task = Nyario.spawn do
          fiber = Fiber.current
          Nyario.read(reader)
          woken = true
        end
        Nyario.sleep(0.01)
        5.times do
          fiber.transfer
          refute woken
        end
        Nyario.write(writer, "x")
        task.join
        assert woken
      end
    end
  end

  def test_resuming_a_parked_fiber_is_refused
    isolated do
      in_loop do
        ours = theirs = nil
        task = Nyario.spawn do
          ours = Fiber.current
          Nyario.sleep(0.05)
          theirs = Fiber.new { Nyario.sleep(0.05) }
          theirs.resume
          :done
        end
        Nyario.sleep(0.01)
        assert_raises(FiberError) { ours.resume }
        Nyario.sleep(0.06)
        assert_raises(FiberError) { theirs.resume }
        assert_equal :done, task.value
      end
    end
  end

  def test_a_resting_fiber_is_left_alone_or_bears_it
    isolated do
      in_loop do
        fiber = nil
        Nyario.spawn { fiber = Fiber.current }.join
        Nyario.sleep(0)
        fiber.transfer
        fiber.raise(KeyError, "nobody home")
        fiber.transfer
        Nyario.sleep(0.01)
        assert_equal([7] * 20, Array.new(20) { Nyario.spawn { Nyario.sleep(0) || 7 } }.map(&:value))
      end
    end
  end

  def test_a_fiber_that_outlives_its_loop
    isolated do
      fibers = []
      in_loop do
        3.times { Nyario.spawn { fibers << Fiber.current } }
        Nyario.sleep(0)
      end
      GC.start
      assert_raises(RuntimeError, FiberError) { fibers[0].transfer }
      assert_raises(KeyError) { fibers[1].raise(KeyError, "late") }
      in_loop { Nyario.sleep(0) }
      GC.start
    end
  end

  def test_a_connection_survives_an_exception_in_its_reader
    isolated do
      parked = nil
      handler = lambda do |connection|
        next parked.raise(KeyError, "poked") if connection.read == "poke"

        parked = Fiber.current
        begin
          connection.read
        rescue KeyError => e
          connection.write(e.message)
        end
        while (data = connection.read)
          connection.write(data)
        end
      end
      serving(handler) do |server|
        peer = connect(server)
        peer.write("x")
        eventually { parked }
        poke = connect(server)
        poke.write("poke")
        assert_equal "", poke.read
        assert_equal "poked", peer.readpartial(100)
        peer.write("and on")
        assert_equal "and on", peer.readpartial(100)
      end
    end
  end

  def test_an_exception_nobody_rescues_closes_the_connection
    isolated do
      before = descriptors
      parked = nil
      handler = lambda do |connection|
        next parked.raise(KeyError, "poked") if connection.read == "poke"

        parked = Fiber.current
        connection.read
      end
      errors = stderr_of do
        serving(handler) do |server|
          20.times do
            parked = nil
            peer = connect(server)
            peer.write("x")
            eventually { parked }
            poke = connect(server)
            poke.write("poke")
            assert_equal "", poke.read
            assert_equal "", peer.read
            [peer, poke].each(&:close)
          end
        end
      end
      assert_equal 20, errors.scan("poked").size
      assert_operator descriptors, :<=, before
    end
  end

  def test_exceptions_of_the_thread_end_the_loop
    isolated do
      cleaned, begun = [], Thread::Queue.new
      Nyario.spawn do
        begun << true
        Nyario.sleep(10)
      rescue SystemCallError => e
        cleaned << e.class
        raise
      end
      main = Thread.current
      Thread.new do
        begun.pop
        Thread.pass until main.stop?
        main.raise(KeyError, "to the thread")
      end
      error = assert_raises(KeyError) { Nyario.loop }
      assert_equal "to the thread", error.message
      assert_equal [Errno::ECANCELED], cleaned
      in_loop { Nyario.sleep(0.01) }
    end
  end

  def test_a_time_limit_around_the_loop
    isolated do
      Nyario.register(listener) { nil }
      assert_raises(Timeout::Error) { Timeout.timeout(0.1) { Nyario.loop } }
      # The server may still be there, if the limit came before the loop.
      in_loop { Nyario.sleep(0.01) || Nyario.stop }
    end
  end

  def test_time_limits_outside_a_loop
    isolated do
      reader, writer = IO.pipe
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { Nyario.read(reader) } }
      Nyario.write(writer, "x")
      assert_equal "x", Nyario.read(reader)
      text = Random.new(5).bytes(1_000_000)
      assert_raises(Timeout::Error) { Timeout.timeout(1) { Nyario.write(writer, text) } }
      text << "free"
      assert_equal text[0, 65_536], Nyario.read(reader)
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { Nyario.sleep(10) } }
    end
  end

  def test_a_time_limit_in_a_job_is_the_jobs_own
    %i[sleep read write].each do |name|
      isolated do
        pair = UNIXSocket.pair
        text = Random.new(6).bytes(2_000_000)
        other = Nyario.spawn { Nyario.sleep(0.1); :undisturbed }
        limited = Nyario.spawn { Timeout.timeout(0.05) { WAITS[name].call(pair, text) } }
        stderr_of { Nyario.loop }
        assert_raises(Timeout::Error) { limited.value }
        assert_equal :undisturbed, other.value
        text << "free"
        in_loop { Nyario.sleep(0.01) }
      end
    end
  end
end
