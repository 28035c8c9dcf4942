# frozen_string_literal: true

require_relative "helper"
require "tempfile"

# The hooks that read and write, called as each version of Ruby calls them: what it passes has changed twice, and means
# something else each time.
class ContractTest < Minitest::Test
  include Helper

  VERSIONS = %w[3.1.2 3.2.0 3.3.0 3.3.1 3.4.0 4.0.0 4.1.0].freeze
  EAGAIN = -Errno::EAGAIN::Errno
  EINVAL = -Errno::EINVAL::Errno

  Warning[:experimental] = false

  def test_each_ruby_has_the_hooks_that_it_calls_rightly
    hooks = %i[io_pwrite io_select io_write io_close]
    missing = VERSIONS.to_h { |version| [version, hooks.reject { |hook| of(version).method_defined?(hook) }] }
    assert_equal({ "3.1.2" => hooks, "3.2.0" => %i[io_write io_close], "3.3.0" => %i[io_write io_close],
                   "3.3.1" => %i[io_close], "3.4.0" => %i[io_close], "4.0.0" => [], "4.1.0" => [] }, missing)
    everywhere = %i[fiber kernel_sleep block unblock yield io_wait io_read io_pread timeout_after fiber_interrupt
                    process_wait address_resolve blocking_operation_wait run close scheduler_close]
    VERSIONS.each { |version| assert_empty everywhere - of(version).instance_methods(false), version }
  end

  def test_the_class_is_the_one_of_this_ruby
    assert_equal of(RUBY_VERSION).instance_methods(false).sort, Nyario::Scheduler.instance_methods(false).sort
    refute_respond_to Nyario::Scheduler, :of_ruby
  end

  def test_io_read_of_3_1
    given("3.1.2") do |hooks|
      left, right = UNIXSocket.pair
      right.write("hello")
      assert_equal [5, "hello\0\0\0"], read(8) { |buffer| hooks.io_read(left, buffer, 0) }
      Fiber.schedule { 3.times { sleep 0; right.write("ab") } }
      assert_equal [6, "ababab\0\0"], read(8) { |buffer| hooks.io_read(left, buffer, 5) }
      assert_raises(ArgumentError) { read(8) { |buffer| hooks.io_read(left, buffer, 5, 0) } }
    end
  end

  def test_io_read_of_3_2
    %w[3.2.0 4.0.0].each do |version|
      given(version) do |hooks|
        left, right = UNIXSocket.pair
        right.write("hello")
        assert_equal [5, "\0\0hello\0"], read(8) { |buffer| hooks.io_read(left, buffer, 0, 2) }
        Fiber.schedule { 3.times { sleep 0; right.write("ab") } }
        assert_equal [6, "\0ababab\0"], read(8) { |buffer| hooks.io_read(left, buffer, 5, 1) }
        right.write("ab")
        right.close
        # Fewer than the minimum only where it ends.
        assert_equal [2, "ab\0\0"], read(4) { |buffer| hooks.io_read(left, buffer, 3, 0) }
        assert_equal [0, "\0\0\0\0"], read(4) { |buffer| hooks.io_read(left, buffer, 3, 0) }
      end
    end
  end

  def test_io_read_of_4_1
    given("4.1.0") do |hooks|
      left, right = UNIXSocket.pair
      right.write("hello, world")
      assert_equal [3, "\0\0\0\0\0hel"], read(8) { |buffer| hooks.io_read(left, buffer, 5, 3) }
      assert_equal [0, "\0\0\0\0"], read(4) { |buffer| hooks.io_read(left, buffer, 1, 0) }
      # One transfer, however short.
      assert_equal [9, "lo, world\0"], read(10) { |buffer| hooks.io_read(left, buffer, 0, 10) }
      Fiber.schedule { sleep 0; right.write("later") }
      assert_equal [4, "late"], read(4) { |buffer| hooks.io_read(left, buffer, 0, 100) }
    end
  end

  def test_what_has_nothing_to_say_is_told_so
    %w[3.2.0 4.0.0 4.1.0].each do |version|
      given(version) do |hooks|
        reader, writer = IO.pipe
        one_try = version < "4.1" ? [0, 1] : [1, 7]
        assert_equal EAGAIN, read(8) { |buffer| hooks.io_read(reader, buffer, *one_try) }.first
        writer.write("pipe")
        assert_equal [4, "\0pipe\0\0\0"], read(8) { |buffer| hooks.io_read(reader, buffer, *one_try) }
      end
    end
  end

  def test_offsets_beyond_the_buffer
    given("3.2.0") do |hooks|
      left, right = UNIXSocket.pair
      right.write("x")
      answers = [[0, 8], [0, 9], [0, -1], [-1, 0]].map { |range| read(8) { |buffer| hooks.io_read(left, buffer, *range) }.first }
      assert_equal [0, EINVAL, EINVAL, EINVAL], answers
    end
    given("4.1.0") do |hooks|
      left, right = UNIXSocket.pair
      right.write("x")
      answers = [[8, 1], [9, 1], [-1, 1], [0, -1]].map { |range| read(8) { |buffer| hooks.io_read(left, buffer, *range) }.first }
      assert_equal [0, EINVAL, EINVAL, EINVAL], answers
    end
  end

  def test_io_write_of_3_2
    given("3.3.1") do |hooks|
      left, right = UNIXSocket.pair
      assert_equal 5, hooks.io_write(left, buffer("..hello"), 0, 2)
      assert_equal "hello", right.readpartial(100)
      Fiber.schedule { @read = right.read }
      # All of the minimum, whoever reads how slowly.
      assert_equal 3_000_000, hooks.io_write(left, buffer("x" * 3_000_000), 3_000_000, 0)
      left.close
      sleep 0.001 until @read
      assert_equal 3_000_000, @read.bytesize
    end
  end

  def test_io_write_of_4_1
    given("4.1.0") do |hooks|
      left, right = UNIXSocket.pair
      assert_equal 3, hooks.io_write(left, buffer("..hello"), 2, 3)
      assert_equal 0, hooks.io_write(left, buffer("..hello"), 2, 0)
      assert_equal "hel", right.readpartial(100)
      # One transfer, so it comes back with what went.
      assert_includes 1...3_000_000, hooks.io_write(left, buffer("x" * 3_000_000), 0, 3_000_000)
      reader, writer = IO.pipe
      assert_includes 1...3_000_000, hooks.io_write(writer, buffer("x" * 3_000_000), 0, 3_000_000)
      assert_equal EAGAIN, hooks.io_write(writer, buffer("x" * 3_000_000), 0, 3_000_000)
      reader.close
      assert_equal(-Errno::EPIPE::Errno, hooks.io_write(writer, buffer("x"), 0, 1))
    end
  end

  def test_io_pread
    file do |file|
      given("3.1.2") do |hooks|
        assert_equal [4, "3456"], read(4) { |buffer| hooks.io_pread(file, buffer, 2, 3) }
      end
      given("3.2.0") do |hooks|
        assert_equal [4, "\0\x003456"], read(6) { |buffer| hooks.io_pread(file, buffer, 3, 2, 2) }
        assert_equal [4, "\0\x003456"], read(6) { |buffer| hooks.io_pread(file, buffer, 3, 0, 2) }
        assert_equal [2, "89\0\0"], read(4) { |buffer| hooks.io_pread(file, buffer, 8, 4, 0) }
      end
      given("4.1.0") do |hooks|
        assert_equal [3, "\0\x00345\0"], read(6) { |buffer| hooks.io_pread(file, buffer, 3, 2, 3) }
        assert_equal [0, "\0\0\0\0"], read(4) { |buffer| hooks.io_pread(file, buffer, 3, 2, 0) }
        assert_equal [0, "\0\0\0\0"], read(4) { |buffer| hooks.io_pread(file, buffer, 10, 0, 4) }
        assert_equal EINVAL, read(4) { |buffer| hooks.io_pread(file, buffer, -1, 0, 4) }.first
        reader, _other = IO.pipe
        assert_equal(-Errno::ESPIPE::Errno, read(4) { |buffer| hooks.io_pread(reader, buffer, 0, 0, 4) }.first)
      end
      # Its own position is left alone.
      assert_equal 10, file.pos
    end
  end

  def test_io_pwrite
    file do |file|
      given("3.2.0") do |hooks|
        assert_equal 3, hooks.io_pwrite(file, buffer("..abc"), 1, 0, 2)
        assert_equal(-Errno::EBADF::Errno, hooks.io_pwrite(File.open(file.path), buffer("x"), 0, 1, 0))
      end
      given("4.1.0") do |hooks|
        assert_equal 2, hooks.io_pwrite(file, buffer("..def"), 6, 2, 2)
        assert_equal 0, hooks.io_pwrite(file, buffer("..def"), 6, 2, 0)
        assert_equal EINVAL, hooks.io_pwrite(file, buffer("x"), -1, 0, 1)
      end
      assert_equal "0abc45de89", File.binread(file.path)
    end
  end

  # Where the page cache has nothing a thread reads, and the others go on meanwhile.
  def test_files_are_read_and_written_beside_the_others
    given("3.2.0") do |hooks|
      Tempfile.create("nyario") do |file|
        all = "0123456789abcdef" * 300_000
        turns = 0
        beside = Fiber.schedule { loop { turns += 1; sleep 0 } rescue nil }
        assert_equal all.bytesize, hooks.io_pwrite(file, buffer(all), 0, 0, 0)
        file.fdatasync
        file.advise(:dontneed)
        assert_equal all, read(all.bytesize) { |buffer| assert_equal all.bytesize, hooks.io_pread(file, buffer, 0, 0, 0) }.last
        assert_operator turns, :>, 0
        beside.raise("done")
      end
    end
  end

  # A short buffer may be of a String, whose bytes lie where the kernel cannot get at them while objects are moved.
  def test_a_short_buffer_is_not_the_kernels
    given("3.3.1") do |hooks|
      left, right = UNIXSocket.pair
      nil until left.write_nonblock("x" * 4096, exception: false) == :wait_writable
      buffer = IO::Buffer.new(8)
      buffer.set_string("original")
      Fiber.schedule do
        sleep 0.01
        buffer.set_string("meddled!")
        @read = right.read
      end
      assert_equal 8, hooks.io_write(left, buffer, 8, 0)
      left.close
      sleep 0.001 until @read
      assert_equal "original", @read.delete("x")
    end
    given("3.3.1") do |hooks|
      left, right = UNIXSocket.pair
      first, other = UNIXSocket.pair
      buffer = IO::Buffer.new(8)
      before = nil
      Fiber.schedule do
        first.readpartial(1)
        before = buffer.get_string
      end
      Fiber.schedule do
        sleep 0.01
        # Both are told of in one turn, in this order.
        other.write("x")
        right.write("whatever")
      end
      assert_equal 8, hooks.io_read(left, buffer, 8, 0)
      assert_equal ["\0" * 8, "whatever"], [before, buffer.get_string]
    end
  end

  def test_a_buffer_is_locked_while_it_is_waited_for
    given("3.2.0") do |hooks|
      left, right = UNIXSocket.pair
      buffer = IO::Buffer.new(8)
      refused = nil
      Fiber.schedule do
        sleep 0
        refused = [buffer.locked?, (buffer.free rescue $!.class)]
        right.write("x")
      end
      assert_equal 1, hooks.io_read(left, buffer, 1, 0)
      assert_equal [true, IO::Buffer::LockedError], refused
      refute_predicate buffer, :locked?
    end
  end

  def test_what_cannot_be_written_to
    given("3.2.0") do |hooks|
      left, _other = UNIXSocket.pair
      text = IO::Buffer.for("frozen")
      assert_raises(IO::Buffer::AccessError) { hooks.io_read(left, text, 0, 0) }
      assert_raises(TypeError) { hooks.io_read(left, "text", 0, 0) }
      assert_raises(TypeError) { hooks.io_read(left, IO::Buffer.new(1), "0", 0) }
      left.close
      assert_raises(IOError) { hooks.io_read(left, IO::Buffer.new(1), 0, 0) }
    end
  end

  def test_io_close_of_4_0
    given("4.0.0") do |hooks|
      left, right = UNIXSocket.pair
      Fiber.schedule { assert_raises(IOError, Errno::EBADF) { left.readpartial(1) }; @woken = true }
      left.autoclose = false
      assert_equal true, hooks.io_close(left.fileno)
      sleep 0.001 until @woken
      assert_equal "", right.read
      # Ruby itself finds out what it is that is not open.
      assert_equal false, hooks.io_close(left.fileno)
      assert_equal false, hooks.io_close(-1)
      assert_raises(TypeError) { hooks.io_close(right) }
      refute_predicate right, :closed?
    end
  end

  private

  def of(version)
    Nyario::Scheduler.send(:of_ruby, version)
  end

  # Runs the block on a scheduled fiber, with the hooks of that Ruby.
  def given(version)
    isolated do
      failure = nil
      scheduled do
        Fiber.schedule do
          yield of(version).new
        rescue Exception => error # rubocop:disable Lint/RescueException
          failure = error
        end
      end
      raise failure if failure
    end
  end

  def read(size)
    buffer = IO::Buffer.new(size)
    [yield(buffer), buffer.get_string]
  end

  def buffer(text)
    IO::Buffer.for(text.dup)
  end

  def file
    Tempfile.create("nyario") do |file|
      file.write("0123456789")
      file.flush
      yield file
    end
  end
end
