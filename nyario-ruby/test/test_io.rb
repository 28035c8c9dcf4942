# frozen_string_literal: true

require "helper"
require "tempfile"

class TestIo < NyarioTest
  def pipe(&block)
    IO.pipe(&block)
  end

  def test_pipes
    both do
      reader, writer = IO.pipe
      assert_equal 5, Nyario.write(writer, "he", "llo")
      assert_equal "he", Nyario.read(reader, 2)
      assert_equal "llo", Nyario.read(reader)
      writer.close
      assert_nil Nyario.read(reader)
      assert_nil Nyario.read(reader, 10)
    end
  end

  def test_socket_pairs_numbers_and_encodings
    both do
      left, right = UNIXSocket.pair
      Nyario.write(left, "ä")
      data = Nyario.read(right)
      assert_equal "ä".b, data
      assert_equal Encoding::BINARY, data.encoding
      Nyario.write(right.fileno, "number")
      assert_equal "number", Nyario.read(left.fileno)
      right.close
      assert_nil Nyario.read(left)
      assert_raises(Errno::EPIPE) { Nyario.write(left, "x") }
    end
  end

  def test_tcp_sockets
    both do
      server = listener
      client = connect(server)
      accepted = server.accept
      Nyario.write(client, "question")
      assert_equal "question", Nyario.read(accepted)
      Nyario.write(accepted, "answer")
      assert_equal "answer", Nyario.read(client)
    end
  end

  def test_files
    both do
      Tempfile.create do |file|
        assert_equal 4, Nyario.write(file, "text")
        file.rewind
        assert_equal "te", Nyario.read(file, 2)
        assert_equal "xt", Nyario.read(file)
        assert_nil Nyario.read(file)
      end
      File.open("/dev/zero") { |zero| assert_equal "\0" * 7, Nyario.read(zero, 7) }
      File.open("/dev/null", "w") { |null| assert_equal 3, Nyario.write(null, "abc") }
    end
  end

  def test_waiting_leaves_the_thread_to_others
    isolated do
      reader, writer = IO.pipe
      other = Thread.new do
        Kernel.sleep 0.1
        writer.write("from a thread")
      end
      assert_equal "from a thread", Nyario.read(reader)
      other.join
      3.times do |n|
        Thread.new do
          Kernel.sleep 0.02
          writer.write(n.to_s)
        end
        assert_equal n.to_s, Nyario.read(reader)
      end
    end
    isolated do
      reader, writer = IO.pipe
      text = Random.new(2).bytes(1_000_000)
      other = Thread.new do
        Kernel.sleep 0.1
        reader.read(text.bytesize)
      end
      assert_equal 1_000_000, Nyario.write(writer, text)
      assert_equal text, other.value
    end
  end

  def test_a_waiting_thread_makes_no_loop
    isolated do
      before = descriptors
      20.times.map { Thread.new { Nyario.sleep(0.05) } }.each(&:join)
      reader, writer = IO.pipe
      Thread.new { Nyario.write(writer, Nyario.read(reader)) }.tap { writer.write("x") }.join
      [reader, writer].each(&:close)
      assert_operator descriptors, :<=, before
    end
  end

  def test_a_thread_that_registers_and_dies_leaves_nothing_to_the_next
    isolated do
      5.times do
        Thread.new { Nyario.register(listener) { flunk } }.join
        Thread.new { assert_nil Nyario.loop }.join(10) || flunk("the loop of a dead thread goes on")
      end
    end
  end

  def test_waiting_in_a_fiber_leaves_the_loop_to_others
    isolated do
      in_loop do
        reader, writer = IO.pipe
        order = []
        task = Nyario.spawn do
          order << Nyario.read(reader)
          Nyario.write(writer, "b")
          order << Nyario.read(reader)
        end
        Nyario.sleep(0.05)
        order << "first"
        Nyario.write(writer, "a")
        task.join
        assert_equal %w[first a b], order
      end
    end
  end

  def test_a_full_pipe
    isolated do
      in_loop do
        reader, writer = IO.pipe
        text = Random.new(3).bytes(1_000_000)
        task = Nyario.spawn { Nyario.write(writer, text).tap { writer.close } }
        got = +"".b
        while (data = Nyario.read(reader, 50_000))
          got << data
        end
        assert_equal text, got
        assert_equal 1_000_000, task.value
      end
    end
  end

  def test_what_cannot_be_read
    both do
      reader, writer = IO.pipe
      [reader, writer].each(&:close)
      assert_raises(IOError) { Nyario.read(reader) }
      assert_raises(IOError) { Nyario.write(writer, "x") }
      [-1, -2**31, 999_999].each do |number|
        assert_raises(Errno::EBADF, number.to_s) { Nyario.read(number) }
        assert_raises(Errno::EBADF, number.to_s) { Nyario.write(number, "x") }
      end
      [2**31, -2**31 - 1, 2**32, 2**64].each do |number|
        assert_raises(RangeError, number.to_s) { Nyario.read(number) }
        assert_raises(RangeError, number.to_s) { Nyario.write(number, "x") }
      end
      [nil, "0", 1.0, :io, Object.new, [], Nyario].each do |garbage|
        assert_raises(TypeError, garbage.inspect) { Nyario.read(garbage) }
        assert_raises(TypeError, garbage.inspect) { Nyario.write(garbage, "x") }
      end
      assert_raises(ArgumentError) { Nyario.read }
      assert_raises(ArgumentError) { Nyario.write }
      reader, writer = IO.pipe
      assert_raises(Errno::EBADF) { Nyario.read(writer) }
      assert_raises(Errno::EBADF) { Nyario.write(reader, "x") }
    end
  end

  def test_an_io_that_is_closed_while_a_thread_waits
    isolated do
      closing = lambda do |io|
        Thread.new do
          Kernel.sleep 0.1
          io.close
        end
      end
      reader, _other = IO.pipe
      closing.call(reader)
      assert_raises(IOError) { Nyario.read(reader) }
      [["x" * 1_000_000], ["x" * 500_000] * 2].each do |strings|
        left, _right = UNIXSocket.pair
        closing.call(left)
        assert_raises(IOError) { Nyario.write(left, *strings) }
      end
    end
  end

  def test_numbers_that_are_used_again
    both do
      100.times do |n|
        reader, writer = IO.pipe
        Nyario.write(writer, n.to_s)
        assert_equal n.to_s, Nyario.read(reader)
        helper = Thread.new do
          Kernel.sleep 0.001
          writer.write("late")
        end
        assert_equal "late", Nyario.read(reader)
        helper.join
        [reader, writer].each(&:close)
      end
    end
  end

  def test_numbers_that_are_used_again_for_other_kinds
    both do
      20.times do
        reader, writer = IO.pipe
        Nyario.write(writer, "pipe")
        assert_equal "pipe", Nyario.read(reader)
        [reader, writer].each(&:close)
        left, right = UNIXSocket.pair
        Nyario.write(left, "socket")
        assert_equal "socket", Nyario.read(right)
        [left, right].each(&:close)
        File.open(__FILE__) { |file| assert_equal "# frozen", Nyario.read(file, 8) }
      end
    end
  end
end
