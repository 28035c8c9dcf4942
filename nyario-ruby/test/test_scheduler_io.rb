# frozen_string_literal: true

require_relative "helper"
require "io/console"
require "io/nonblock"
require "pty"
require "tempfile"

# What Ruby's IO promises and a scheduler easily breaks.
class SchedulerIOTest < Minitest::Test
  include Helper

  Warning[:experimental] = false

  def test_what_must_not_wait_does_not
    on_fiber do
      reader, writer = IO.pipe
      2.times do
        assert_raises(IO::WaitReadable) { reader.read_nonblock(10) }
        assert_equal :wait_readable, reader.read_nonblock(10, exception: false)
        writer.write("now")
        # Though the loop has not looked since.
        assert_equal "now", reader.read_nonblock(10)
      end
      fill(writer)
      assert_raises(IO::WaitWritable) { writer.write_nonblock("x" * 70_000) }
      reader.read_nonblock(70_000)
      assert_operator writer.write_nonblock("x" * 4096), :>, 0
      writer.close
      reader.read
      assert_raises(EOFError) { reader.read_nonblock(1) }
    end
  end

  def test_sockets_that_must_not_wait
    on_fiber do
      left, right = UNIXSocket.pair
      assert_raises(IO::WaitReadable) { left.read_nonblock(1) }
      assert_raises(IO::WaitReadable) { left.recv_nonblock(1) }
      server = listener
      assert_raises(IO::WaitReadable) { server.accept_nonblock }
      right.write("x")
      assert_equal "x", left.read_nonblock(10)
      # A plain IO of a socket's descriptor comes by another way.
      plain = IO.for_fd(left.fileno, autoclose: false)
      assert_raises(IO::WaitReadable) { plain.read_nonblock(1) }
      right.write("y")
      assert_equal "y", plain.read_nonblock(10)
    end
  end

  def test_a_number_that_was_a_sockets
    on_fiber do
      left, right = UNIXSocket.pair
      number = left.fileno
      Fiber.schedule { sleep 0; right.write("x") }
      left.readpartial(1)
      left.close
      reader, writer = IO.pipe
      reader, spare = reader.dup, reader until reader.fileno == number || spare.to_s.size > 1000
      assert_equal number, reader.fileno
      assert_raises(IO::WaitReadable) { reader.read_nonblock(1) }
      Fiber.schedule { sleep 0; writer.write("pipe") }
      assert_equal "pipe", reader.readpartial(10)
    end
  end

  def test_sysread_waits_on_sockets
    on_fiber do
      left, right = UNIXSocket.pair
      Fiber.schedule { sleep 0; right.write("sys") }
      assert_equal "sys", left.sysread(10)
      right.close
      assert_raises(EOFError) { left.sysread(1) }
    end
  end

  def test_terminals
    on_fiber do
      master, slave = PTY.open
      slave.raw!
      assert_raises(IO::WaitReadable) { slave.read_nonblock(1) }
      Fiber.schedule { sleep 0; master.write("line\n") }
      assert_equal "line\n", slave.gets
      Fiber.schedule { sleep 0; slave.write("back") }
      assert_equal "back", master.readpartial(10)
    end
  end

  def test_files
    on_fiber do
      Tempfile.create("nyario") do |file|
        file.write("x" * 100_000)
        file.flush
        file.rewind
        assert_equal 100_000, file.read.bytesize
        assert_raises(EOFError) { file.readpartial(1) }
        assert_equal "x" * 10, file.pread(10, 99_990)
        assert_raises(EOFError) { file.pread(10, 100_000) }
        assert_equal 3, file.pwrite("abc", 5)
        assert_equal "xabcx", file.pread(5, 4)
        # A file is always ready.
        assert_same file, file.wait_readable
        assert_same file, file.wait_writable
        assert_same file, file.wait_readable(0)
      end
      assert_equal "", File.open(File::NULL).read
    end
  end

  def test_buffers_of_this_ruby
    on_fiber do
      Tempfile.create("nyario") do |file|
        file.write("0123456789")
        file.flush
        buffer = IO::Buffer.new(4)
        # Up to 3.1 the length comes first.
        assert_equal 4, RUBY_VERSION.to_f < 3.2 ? buffer.pread(file, 4, 3) : buffer.pread(file, 3, 4)
        assert_equal "3456", buffer.get_string
        assert_equal 4, RUBY_VERSION.to_f < 3.2 ? buffer.pwrite(file, 4, 0) : buffer.pwrite(file, 0, 4)
        assert_equal "3456456789", File.binread(file.path)
      end
    end
  end

  def test_an_end_or_an_error_wakes_whoever_waits
    on_fiber do
      reader, writer = IO.pipe
      Fiber.schedule { sleep 0; writer.close }
      assert_same reader, reader.wait_readable
      reader, writer = IO.pipe
      fill(writer)
      Fiber.schedule { sleep 0; reader.close }
      assert_same writer, writer.wait_writable
      assert_raises(Errno::EPIPE) { writer.write("x") }
      IO.popen("printf out") { |io| assert_equal "out", io.read }
    end
  end

  def test_a_reset_has_its_name
    on_fiber do
      server = listener
      client = connect(server)
      accepted = server.accept
      accepted.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
      Fiber.schedule { sleep 0; accepted.close }
      assert_raises(Errno::ECONNRESET) { client.readpartial(1) }
    end
  end

  def test_the_mode_that_others_share_is_left_alone
    on_fiber do
      reader, writer = IO.pipe
      [reader, writer].each { |io| io.nonblock = false }
      Fiber.schedule { sleep 0; writer.write("x") }
      assert_equal "x", reader.readpartial(1)
      assert_same writer, writer.wait_writable
      writer.write("y" * 10_000)
      assert_equal 10_000, reader.readpartial(20_000).bytesize
      refute_predicate reader, :nonblock?
      refute_predicate writer, :nonblock?
    end
  end

  def test_many_fibers_share_a_descriptor
    on_fiber do
      left, right = UNIXSocket.pair
      woken = []
      3.times { |n| Fiber.schedule { left.wait_readable; woken << n } }
      Fiber.schedule { left.wait(IO::READABLE | IO::WRITABLE); woken << :writable }
      3.times { |n| Fiber.schedule { left.write("#{n}\n" * 100_000) } }
      lines = Hash.new(0)
      Fiber.schedule { right.write("x") }
      until lines.values.sum == 300_000
        lines[right.gets] += 1
      end
      assert_equal [100_000] * 3, lines.values
      assert_equal [0, 1, 2, "writable"], woken.sort_by(&:to_s).map { |item| item == :writable ? "writable" : item }
    end
  end

  def test_waiting_with_a_time_out_is_told_the_truth
    on_fiber do
      left, right = UNIXSocket.pair
      assert_nil left.wait_readable(0)
      assert_nil left.wait_readable(0.001)
      right.write("x")
      assert_same left, left.wait_readable(0)
      assert_same left, left.wait_readable(0.001)
      scheduler = Fiber.scheduler
      assert_equal IO::READABLE, scheduler.io_wait(left, IO::READABLE, 0)
      assert_equal IO::READABLE | IO::WRITABLE, scheduler.io_wait(left, IO::READABLE | IO::WRITABLE, 0)
      assert_equal IO::WRITABLE, scheduler.io_wait(right, IO::READABLE | IO::WRITABLE, nil)
      assert_equal false, scheduler.io_wait(right, IO::READABLE, 0.001)
      assert_raises(ArgumentError) { scheduler.io_wait(right, IO::READABLE, Float::NAN) }
    end
  end

  def test_a_closed_io_is_not_waited_for
    on_fiber do
      left, _other = UNIXSocket.pair
      left.close
      assert_raises(IOError) { left.wait_readable }
      assert_raises(IOError) { Fiber.scheduler.io_wait(left, IO::READABLE, nil) }
      reader, writer = IO.pipe
      # Behind Ruby's back: the others go on.
      Fiber.schedule { sleep 0.001; IO.for_fd(reader.fileno).close; writer.close }
      begin
        reader.wait_readable
      rescue IOError, SystemCallError
        nil
      end
      reader.autoclose = false
      sleep 0.001
    end
  end

  def test_an_ios_own_time_out
    skip "an IO has a time-out since 3.2" if RUBY_VERSION.to_f < 3.2

    on_fiber do
      left, right = UNIXSocket.pair
      left.timeout = 0.001
      assert_raises(IO::TimeoutError) { left.wait_readable }
      assert_raises(IO::TimeoutError) { left.readpartial(1) }
      assert_raises(IO::TimeoutError) { left.write("x" * 10_000_000) }
      assert_nil left.wait_readable(0.001)
      right.write("in time")
      assert_equal "in time", left.readpartial(10)
    end
  end

  def test_no_sleep_is_too_short
    on_fiber do
      [0.000_000_001, 0.000_1, 0.001_5].each do |seconds|
        before = now
        sleep seconds
        assert_operator now - before, :>=, seconds
      end
      assert_raises(ArgumentError) { sleep(-1) }
      assert_raises(TypeError) { sleep("1") }
    end
  end

  private

  def on_fiber
    isolated do
      failure = nil
      scheduled do
        Fiber.schedule do
          yield
        rescue Exception => error # rubocop:disable Lint/RescueException
          failure = error
        end
      end
      raise failure if failure
    end
  end

  def fill(writer)
    loop { writer.write_nonblock("x" * 4096) }
  rescue IO::WaitWritable
    nil
  end
end
