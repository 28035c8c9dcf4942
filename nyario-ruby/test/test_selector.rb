# frozen_string_literal: true

require "helper"
require "weakref"

# Nyario::Selector without async: what the interface of io-event's selectors asks for.
class TestSelector < NyarioTest
  def with_selector
    isolated do
      Warning[:experimental] = false
      selector = Nyario::Selector.new(Fiber.current)
      yield selector
    ensure
      selector&.close
    end
  end

  def pair
    UNIXSocket.pair
  end

  # Begins a fiber, until it waits.
  def begin_fiber(&block)
    Fiber.new(&block).tap(&:transfer)
  end

  def drive(selector, *fibers)
    selector.select(5) while fibers.any?(&:alive?)
  end

  # --- what it is ---

  def test_it_knows_its_loop_fiber_and_is_closed_once
    isolated do
      before = descriptors
      selector = Nyario::Selector.new(Fiber.current)
      assert_same Fiber.current, selector.loop
      refute_predicate selector, :closed?
      assert_operator descriptors, :>, before
      assert_nil selector.close
      assert_predicate selector, :closed?
      assert_operator descriptors, :<=, before
      assert_nil selector.close
      assert_match(/closed/, assert_raises(RuntimeError) { selector.select(0) }.message)
      assert_raises(RuntimeError) { selector.io_wait(Fiber.current, $stdin, IO::READABLE) }
      refute selector.wakeup
    end
  end

  def test_a_thread_may_have_several
    with_selector do |selector|
      others = Array.new(8) { Nyario::Selector.new(Fiber.current) }
      local, remote = pair
      got = []
      fibers = others.map { |other| begin_fiber { got << other.io_wait(Fiber.current, local, IO::READABLE) } }
      remote.write("x")
      assert_equal 0, selector.select(0)
      others.zip(fibers) { |other, fiber| drive(other, fiber) }
      assert_equal [IO::READABLE] * 8, got
    ensure
      others&.each(&:close)
    end
  end

  def test_it_wants_a_fiber_once
    with_selector do |selector|
      assert_raises(ArgumentError) { Nyario::Selector.new(nil) }
      assert_raises(RuntimeError) { selector.send(:initialize, Fiber.current) }
      assert_raises(RuntimeError) { Nyario::Selector.allocate.select(0) }
    end
  end

  def test_a_forked_child_finds_it_closed_and_makes_its_own
    with_selector do |selector|
      local, remote = pair
      fiber = begin_fiber { local.readpartial(selector.io_wait(Fiber.current, local, IO::READABLE)) }
      child = fork do
        own = Nyario::Selector.new(Fiber.current)
        refused = begin
          selector.select(0) && false
        rescue RuntimeError => e
          e.message.include?("parent")
        end
        selector.close
        GC.start
        exit!(selector.closed? && refused && own.select(0).zero? ? 0 : 1)
      end
      assert_predicate Process.wait2(child)[1], :success?
      remote.write("x")
      drive(selector, fiber)
    end
  end

  def test_only_its_own_thread_drives_it
    with_selector do |selector|
      errors = Thread.new do
        [-> { selector.select(0) }, -> { selector.io_close(99) }, -> { selector.close }].map do |call|
          assert_raises(RuntimeError, &call).message
        end
      end.value
      assert_equal ["the selector belongs to another thread"] * 3, errors
      refute_predicate selector, :closed?
      assert_raises(RuntimeError) { Fiber.new { selector.select(0) }.resume }
      assert_raises(ArgumentError) { selector.io_wait(Fiber.new {}, $stdin, IO::READABLE) }
    end
  end

  # --- select ---

  def test_select_takes_seconds_or_nothing
    with_selector do |selector|
      assert_equal 0, selector.select(0)
      assert_in_delta 0.0, selector.idle_duration, 0.0
      assert_equal 0, selector.select(0.01)
      assert_operator selector.idle_duration, :>=, 0.01
      assert_equal 0, selector.select(1/100r)
      assert_equal 0, selector.select(-1)
      assert_in_delta 0.0, selector.idle_duration, 0.0
      assert_raises(TypeError) { selector.select("invalid") }
      assert_raises(ArgumentError) { selector.select(Float::NAN) }
      assert_raises(ArgumentError) { selector.select(1, 2) }
    end
  end

  def test_a_wakeup_from_a_thread_ends_the_sleep_and_only_that
    with_selector do |selector|
      refute selector.wakeup
      2.times do
        thread = Thread.new do
          Thread.pass until selector.wakeup
          true
        end
        assert_equal 0, selector.select(nil)
        assert thread.value
      end
      assert_equal 0, selector.select(0.01)
      assert_operator selector.idle_duration, :>=, 0.01
    end
  end

  def test_a_push_with_a_wakeup_runs_the_fiber
    with_selector do |selector|
      20.times do
        ran = false
        fiber = Fiber.new { ran = true }
        thread = Thread.new do
          Thread.pass if rand < 0.5
          selector.push(fiber)
          selector.wakeup
        end
        selector.select(nil) until ran
        thread.join
      end
    end
  end

  def test_a_round_is_bounded
    with_selector do |selector|
      local, remote = pair
      fibers = Array.new(400) { begin_fiber { selector.io_wait(Fiber.current, local, IO::READABLE) } }
      remote.write("x")
      first = selector.select(1)
      assert_operator first, :<, 400
      first += selector.select(1) while fibers.any?(&:alive?)
      assert_equal 400, first
    end
  end

  def test_an_exception_of_a_fiber_leaves_the_others_their_turn
    with_selector do |selector|
      local, remote = pair
      got = []
      fibers = Array.new(5) do |index|
        begin_fiber do
          selector.io_wait(Fiber.current, local, IO::READABLE)
          raise "boom" if index == 2

          got << index
        end
      end
      remote.write("x")
      assert_raises(RuntimeError) { drive(selector, *fibers) }
      drive(selector, *fibers)
      assert_equal [0, 1, 3, 4], got.sort
    end
  end

  # --- who is ready ---

  def test_what_is_pushed_runs_in_the_next_round
    with_selector do |selector|
      order = []
      second = Fiber.new { order << :second }
      first = Fiber.new do
        order << :first
        selector.push(second)
        selector.yield
        order << :again
      end
      refute_predicate selector, :ready?
      selector.push(first)
      assert_predicate selector, :ready?
      selector.select(0)
      assert_equal [:first], order
      selector.select(0)
      assert_equal %i[first second again], order
      refute_predicate selector, :ready?
    end
  end

  def test_anything_that_transfers_can_be_pushed
    with_selector do |selector|
      like = Struct.new(:alive, :count) do
        def alive? = alive
        def transfer = self.count += 1
      end
      living = like.new(true, 0)
      dead = like.new(nil, 0)
      over = Fiber.new {}.tap(&:resume)
      [living, dead, over, living].each { |item| selector.push(item) }
      selector.select(0)
      assert_equal [2, 0], [living.count, dead.count]
      refute_predicate selector, :ready?
    end
  end

  def test_resume_hands_arguments_over_and_comes_back
    with_selector do |selector|
      order = []
      child = Fiber.new { |argument, key: nil| order << argument << key }
      parent = Fiber.new do |argument|
        order << argument
        selector.resume(child, :child, key: :keyed)
        order << :parent
      end
      selector.resume(parent, :resumed)
      order << :select
      selector.select(0)
      assert_equal %i[resumed child keyed select parent], order
      assert_nil selector.resume(child)
      refute_predicate selector, :ready?
      assert_raises(ArgumentError) { selector.resume }
    end
  end

  def test_yield_within_a_fiber_that_another_has_resumed
    with_selector do |selector|
      order = []
      child = Fiber.new do
        order << :yield
        selector.yield
        order << :again
      end
      selector.resume(Fiber.new { child.resume })
      order << :select
      selector.select(0)
      assert_equal %i[yield select again], order
    end
  end

  def test_raise_reaches_a_fiber_and_comes_back
    with_selector do |selector|
      caught = []
      fiber = begin_fiber do
        selector.transfer
      rescue ArgumentError => e
        caught << e.message
      end
      selector.raise(fiber, ArgumentError, "boom")
      assert_equal ["boom"], caught
      assert_raises(FiberError) { selector.raise(fiber, "dead") }
      refute_predicate selector, :ready?
      assert_nil selector.transfer
    end
  end

  # --- io_wait ---

  def test_it_waits_for_either_direction_on_one_descriptor
    with_selector do |selector|
      local, remote = pair
      order = []
      reader = begin_fiber { order << [:read, selector.io_wait(Fiber.current, local, IO::READABLE)] }
      writer = begin_fiber { order << [:write, selector.io_wait(Fiber.current, local, IO::WRITABLE)] }
      assert_empty order
      drive(selector, writer)
      assert_equal [[:write, IO::WRITABLE]], order
      assert_predicate reader, :alive?
      remote.write("x")
      drive(selector, reader)
      assert_equal [:read, IO::READABLE], order.last
    end
  end

  def test_a_hang_up_alone_is_readable
    with_selector do |selector|
      input, output = IO.pipe
      fiber = begin_fiber { selector.io_wait(Fiber.current, input, IO::READABLE) => IO::READABLE }
      output.close
      drive(selector, fiber)
    end
  end

  def test_a_regular_file_is_always_ready
    with_selector do |selector|
      got = nil
      File.open(__FILE__) do |file|
        fiber = begin_fiber { got = selector.io_wait(Fiber.current, file, IO::READABLE | IO::WRITABLE) }
        drive(selector, fiber)
      end
      assert_equal IO::READABLE | IO::WRITABLE, got
    end
  end

  def test_whoever_transfers_to_a_fiber_that_waits_ends_its_wait
    with_selector do |selector|
      local, remote = pair
      got = []
      fiber = begin_fiber do
        got << selector.io_wait(Fiber.current, local, IO::READABLE)
        selector.transfer
        got << :transferred
      end
      fiber.transfer
      remote.write("x")
      assert_equal 0, selector.select(0.01)
      assert_equal [false], got
      fiber.transfer
      assert_equal [false, :transferred], got
    end
  end

  def test_an_exception_ends_the_wait_of_that_fiber_alone
    with_selector do |selector|
      local, remote = pair
      got = []
      first, second = Array.new(2) do
        begin_fiber do
          got << selector.io_wait(Fiber.current, local, IO::READABLE)
        rescue RuntimeError => e
          got << e.message
          selector.transfer
          got << :late
        end
      end
      first.raise("boom")
      remote.write("x")
      drive(selector, second)
      selector.select(0)
      assert_equal ["boom", IO::READABLE], got
    end
  end

  # Both are told in one round; the first to run raises in the other, which must not be told as well.
  def test_an_exception_overtakes_what_a_fiber_was_about_to_be_told
    [IO::READABLE, IO::WRITABLE].each do |events|
      with_selector do |selector|
        local, remote = pair
        remote.write("x")
        got = []
        fibers = Array.new(2) do |index|
          begin_fiber do
            got << selector.io_wait(Fiber.current, local, events)
            selector.raise(fibers[1 - index], "boom") if fibers[1 - index].alive?
          rescue RuntimeError => e
            got << e.message
          end
        end
        drive(selector, *fibers)
        assert_equal [events, "boom"], got
      end
    end
  end

  def test_the_close_of_an_io_wakes_who_waits_on_it
    with_selector do |selector|
      local, remote = pair
      error = nil
      fiber = begin_fiber do
        selector.io_wait(Fiber.current, local, IO::READABLE)
      rescue IOError => e
        error = e
      end
      local.close
      drive(selector, fiber)
      assert_match(/closed/, error.message)
      assert_raises(IOError) { selector.io_wait(Fiber.current, local, IO::READABLE) }
      remote.close
    end
  end

  def test_a_number_that_is_used_again_is_another_descriptor
    with_selector do |selector|
      local, remote = pair
      got = []
      fiber = begin_fiber do
        3.times do
          got << selector.io_wait(Fiber.current, local, IO::READABLE)
          number = local.fileno
          [local, remote].each(&:close)
          local, remote = pair
          local, remote = remote, local if remote.fileno == number
          remote.write("y")
        end
      end
      remote.write("x")
      drive(selector, fiber)
      assert_equal [IO::READABLE] * 3, got
    end
  end

  def test_the_loop_fiber_itself_does_not_wait
    with_selector do |selector|
      local, _other = pair
      refute selector.io_wait(Fiber.current, local, IO::READABLE)
      refute selector.io_wait(Fiber.current, local, IO::WRITABLE)
      assert_equal 0, selector.select(0)
    end
  end

  # --- io_read, io_write ---

  def read(selector, io, size, least, offset = 0)
    buffer = IO::Buffer.new(size)
    count = selector.io_read(Fiber.current, io, buffer, least, offset)
    count.positive? ? buffer.get_string(offset, count) : count
  end

  def test_a_read_takes_at_least_what_it_was_asked_for
    with_selector do |selector|
      local, remote = pair
      got = []
      fiber = begin_fiber { got << read(selector, local, 64, 11) }
      remote.write("Hello")
      selector.select(1)
      assert_empty got
      remote.write(" World")
      drive(selector, fiber)
      assert_equal ["Hello World"], got
    end
  end

  def test_one_try_waits_on_a_socket_and_says_so_on_a_pipe
    with_selector do |selector|
      local, remote = pair
      got = []
      fiber = begin_fiber { got << read(selector, local, 64, 0) }
      assert_empty got
      remote.write("x")
      drive(selector, fiber)
      input, output = IO.pipe
      look = -> { begin_fiber { got << read(selector, input, 64, 0) } }
      look.call
      output.write("y")
      look.call
      output.close
      look.call
      assert_equal ["x", -Errno::EAGAIN::Errno, "y", 0], got
    end
  end

  def test_offsets_stay_within_the_buffer
    with_selector do |selector|
      local, remote = pair
      remote.write("Hello World")
      assert_equal "Hello", read(selector, local, 8, 1, 3)
      assert_equal 0, read(selector, local, 8, 1, 8)
      assert_equal(-Errno::EINVAL::Errno, read(selector, local, 8, 1, 9))
      assert_equal(-Errno::EINVAL::Errno, read(selector, local, 8, -1))
      buffer = IO::Buffer.for("Hello World".dup)
      assert_equal 5, selector.io_write(Fiber.current, local, buffer, 5, 6)
      assert_equal "World", remote.readpartial(64)
      assert_equal 0, selector.io_write(Fiber.current, local, buffer, 1, 11)
      assert_equal(-Errno::EINVAL::Errno, selector.io_write(Fiber.current, local, buffer, 1, 12))
      assert_raises(ArgumentError) { selector.io_read(Fiber.current, local) }
      assert_raises(ArgumentError) { selector.io_read }
    end
  end

  # Ruby 4.1: what the number of bytes means has changed, and where it stands.
  def test_one_transfer_of_at_most_so_many_bytes
    isolated do
      Warning[:experimental] = false
      selector = Nyario::Selector.send(:of_ruby, "4.1.0").new(Fiber.current)
      local, remote = pair
      buffer = IO::Buffer.new(16)
      got = []
      fiber = begin_fiber { got << selector.io_read(Fiber.current, local, buffer, 4, 5) }
      assert_empty got
      remote.write("Hello World")
      drive(selector, fiber)
      assert_equal [5], got
      assert_equal "Hello", buffer.get_string(4, 5)
      assert_equal 3, selector.io_write(Fiber.current, local, buffer, 6, 3)
      assert_equal "llo", remote.readpartial(16)
      assert_equal 0, selector.io_read(Fiber.current, local, buffer, 0, 0)
      assert_raises(ArgumentError) { selector.io_read(Fiber.current, local, buffer, 4) }
      selector.close
      assert_raises(NoMethodError) { Nyario::Selector.of_ruby("4.1.0") }
    end
  end

  def test_a_buffer_may_be_resized_while_a_fiber_waits
    with_selector do |selector|
      local, remote = pair
      buffer = IO::Buffer.new(32)
      got = []
      fiber = begin_fiber { got << selector.io_read(Fiber.current, local, buffer, 32) }
      remote.write("some")
      assert_equal 1, selector.select(1)
      buffer.resize(1 << 20)
      remote.write("more")
      assert_equal 1, selector.select(1)
      buffer.resize(8)
      remote.write("!")
      drive(selector, fiber)
      assert_equal [8], got
      assert_equal "somemore", buffer.get_string
    end
  end

  # Where Ruby takes it for no socket, `read_nonblock` comes this way, and must not wait.
  def test_a_socket_that_ruby_knows_as_a_plain_io_is_not_waited_for
    with_selector do |selector|
      local, _other = pair
      plain = IO.for_fd(local.fileno, autoclose: false)
      got = []
      begin_fiber { got << read(selector, plain, 16, 0) }
      assert_equal [-Errno::EAGAIN::Errno], got
    end
  end

  def test_a_write_waits_for_room
    with_selector do |selector|
      local, remote = pair
      text = "0123456789abcdef" * 65_536
      wrote = nil
      fiber = begin_fiber { wrote = selector.io_write(Fiber.current, local, IO::Buffer.for(text), text.bytesize) }
      assert_predicate fiber, :alive?
      got = +""
      while got.bytesize < text.bytesize
        selector.select(0)
        got << remote.read_nonblock(100_000, exception: false).then { |part| part.is_a?(String) ? part : "" }
      end
      drive(selector, fiber)
      assert_equal text.bytesize, wrote
      assert_equal text, got
      remote.close
      assert_equal(-Errno::EPIPE::Errno, selector.io_write(Fiber.current, local, IO::Buffer.for("x".dup), 1))
    end
  end

  def test_a_read_that_is_left_takes_nothing_with_it
    with_selector do |selector|
      local, remote = pair
      got = []
      fiber = begin_fiber do
        3.times do
          got << read(selector, local, 64, 1)
        rescue RuntimeError => e
          got << e.message
        end
        got << read(selector, local, 64, 0)
      end
      3.times { fiber.raise("boom") }
      fiber.transfer
      remote.write("x")
      assert_equal 0, selector.select(0)
      assert_equal "x", local.readpartial(10)
      assert_equal ["boom"] * 3 + [-Errno::EAGAIN::Errno], got
    end
  end

  def test_io_close_wakes_who_waits
    with_selector do |selector|
      local, _other = pair
      local.autoclose = false
      got = []
      fibers = Array.new(2) { begin_fiber { got << read(selector, local, 64, 1) } }
      assert selector.io_close(local.fileno)
      drive(selector, *fibers)
      assert_equal [-Errno::EBADF::Errno] * 2, got
      assert_raises(Errno::EBADF) { selector.io_close(local.fileno) }
      assert_raises(TypeError) { selector.io_close("3") }
    end
  end

  # --- process_wait ---

  def test_it_waits_for_a_child
    with_selector do |selector|
      before = descriptors
      got = []
      fiber = begin_fiber do
        got << selector.process_wait(Fiber.current, spawn("exit 42"), 0)
        pid = spawn("sleep 10")
        got << selector.process_wait(Fiber.current, pid, Process::WNOHANG)
        Process.kill(:KILL, pid)
        got << selector.process_wait(Fiber.current, pid, 0)
      end
      drive(selector, fiber)
      assert_equal [42, nil, 9], [got[0].exitstatus, got[1], got[2].termsig]
      assert_operator descriptors, :<=, before
    end
  end

  def test_it_waits_for_any_child_and_for_none
    with_selector do |selector|
      got = []
      fiber = begin_fiber do
        pids = Array.new(2) { spawn("true") }
        pids << spawn("true", pgroup: true)
        got << selector.process_wait(Fiber.current, -pids[2], 0).pid
        got << selector.process_wait(Fiber.current, -1, 0).pid << selector.process_wait(Fiber.current, 0, 0).pid
        assert_equal pids.sort, got.sort
        got << selector.process_wait(Fiber.current, pids[0], 0)&.pid
      end
      drive(selector, fiber)
      assert_equal 4, got.size
    end
  end

  def test_it_waits_for_a_child_that_only_stops
    with_selector do |selector|
      got = nil
      pid = spawn("sleep 0.1; kill -STOP $$")
      fiber = begin_fiber { got = selector.process_wait(Fiber.current, pid, Process::WUNTRACED) }
      drive(selector, fiber)
      assert_predicate got, :stopped?
    ensure
      Process.kill(:KILL, pid)
    end
  end

  def test_a_wait_for_a_child_that_is_left_can_be_begun_again
    with_selector do |selector|
      before = descriptors
      got = []
      input, output = IO.pipe
      fiber = begin_fiber do
        pid = spawn("read x && exit 7", in: input)
        got << selector.process_wait(Fiber.current, pid, 0)
        got << selector.process_wait(Fiber.current, pid, 0)
      end
      fiber.transfer
      assert_equal [false], got
      output.write("\n")
      drive(selector, fiber)
      assert_equal 7, got[1].exitstatus
      [input, output].each(&:close)
      assert_operator descriptors, :<=, before
    end
  end

  # --- signals and threads ---

  def test_an_interrupt_ends_the_sleep
    with_selector do |selector|
      assert_raises(Interrupt) do
        fork do
          sleep 0.05
          Process.kill(:INT, Process.ppid)
          exit!
        end
        selector.select(nil)
      end
      Process.wait
      assert_equal 0, selector.select(0)
    end
  end

  def test_what_is_deferred_does_not_let_it_sleep
    with_selector do |selector|
      ended = nil
      assert_raises(Interrupt) do
        Thread.handle_interrupt(SignalException => :never) do
          Thread.current.raise(Interrupt)
          ended = selector.select(nil)
        end
      end
      assert_equal 0, ended
      assert_raises(Interrupt) do
        Thread.handle_interrupt(SignalException => :never) do
          Process.kill(:INT, Process.pid)
          Thread.pass until Thread.pending_interrupt?
          ended = selector.select(nil)
        end
      end
      assert_equal 0, ended
    end
  end

  def test_another_threads_exception_ends_the_sleep
    isolated do
      ready = Queue.new
      thread = Thread.new do
        Thread.current.report_on_exception = false
        selector = Nyario::Selector.new(Fiber.current)
        ready << true
        selector.select(nil)
      ensure
        selector.close
      end
      ready.pop
      Thread.pass until thread.status == "sleep"
      thread.raise("boom")
      assert_equal "boom", assert_raises(RuntimeError) { thread.value }.message
    end
  end

  # --- memory ---

  def test_it_keeps_the_fibers_that_wait
    with_selector do |selector|
      sockets = Array.new(50) { pair }
      got = []
      sockets.each do |local, _|
        begin_fiber do
          selector.io_wait(Fiber.current, local, IO::READABLE)
          got << read(selector, local, 16, 1)
        end
      end
      3.times { GC.start }
      GC.compact if GC.respond_to?(:compact)
      sockets.each_with_index { |(_, remote), index| remote.write(index.to_s) }
      selector.select(1) until got.size == 50
      assert_equal (0...50).map(&:to_s), got.sort_by(&:to_i)
    end
  end

  def test_a_collector_at_every_step
    with_selector do |selector|
      got = []
      GC.stress = true
      sockets = Array.new(3) { pair }
      fibers = sockets.map do |local, remote|
        begin_fiber do
          got << selector.io_wait(Fiber.current, local, IO::READABLE) << read(selector, local, 16, 1)
          # A string of its own: 3.1 keeps it locked until the buffer is collected.
          selector.io_write(Fiber.current, remote, IO::Buffer.for("more".dup), 4)
          selector.yield
          got << read(selector, local, 16, 0) << selector.process_wait(Fiber.current, spawn("exit 3"), 0).exitstatus
          selector.transfer
        rescue ArgumentError => e
          got << e.message
        end
      end
      sockets.each { |_, remote| remote.write("some") }
      selector.select(1) until got.size == 12
      fibers.each { |fiber| selector.raise(fiber, ArgumentError, "boom") }
      GC.stress = false
      assert_equal({ IO::READABLE => 3, "some" => 3, "more" => 3, 3 => 3, "boom" => 3 }, got.tally)
    ensure
      GC.stress = false
    end
  end

  def test_it_keeps_the_fibers_that_are_ready
    with_selector do |selector|
      ran = 0
      100.times { selector.push(Fiber.new { ran += 1 }) }
      clear_stack
      3.times { GC.start }
      Array.new(1000) { Fiber.new {} }
      selector.select(0)
      assert_equal 100, ran
    end
  end

  # A ring that still polls the socket would hold it open.
  def test_a_wait_that_is_left_lets_go_of_its_descriptor
    with_selector do |selector|
      local, remote = pair
      fiber = begin_fiber { selector.io_wait(Fiber.current, local, IO::READABLE) }
      selector.select(0)
      fiber.transfer
      selector.select(0)
      local.close
      assert_nil remote.read_nonblock(1, exception: false)
    end
  end

  def test_a_selector_that_nobody_closes_goes_with_its_fibers
    isolated do
      before = descriptors
      references = Array.new(10) do
        selector = Nyario::Selector.new(Fiber.current)
        local, remote = pair
        Fiber.new { selector.io_wait(Fiber.current, local, IO::READABLE) && remote }.transfer
        selector.push(Fiber.new { local })
        WeakRef.new(selector)
      end
      clear_stack
      eventually do
        GC.start
        references.count(&:weakref_alive?) <= 1
      end
      assert_operator descriptors, :<, before + 20
    end
  end

  # A selector of a thread that has ended is swept on another one.
  def test_a_selector_of_another_thread_can_be_swept_here
    isolated do
      5.times do
        Thread.new do
          selector = Nyario::Selector.new(Fiber.current)
          local, _other = pair
          Fiber.new { selector.io_wait(Fiber.current, local, IO::READABLE) }.transfer
          selector.select(0)
        end.join
      end
      5.times { GC.start }
      own = Nyario::Selector.new(Fiber.current)
      assert_equal 0, own.select(0)
      own.close
    end
  end

  private

  # References of calls that have returned may lie on the stack still.
  def clear_stack(depth = 50)
    clear_stack(depth - 1) if depth.positive?
  end
end
