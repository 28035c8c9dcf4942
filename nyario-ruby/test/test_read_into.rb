# frozen_string_literal: true

require "helper"
require "objspace"
require "tempfile"

class TestReadInto < NyarioTest
  def test_a_read_replaces_what_the_string_held
    isolated do
      buffer = +"what was there before"
      parts = conversation(lambda { |c|
        first = c.read(3, buffer)
        assert_same buffer, first
        parts = [first.dup, c.read(nil, buffer).dup]
        c.write("more")
        parts.push(Nyario.read(c, 5, buffer).dup, c.read(5, buffer), buffer.dup)
      }) do |peer|
        peer.write("abcdef")
        peer.read(4)
        peer.write("gh")
        peer.close_write
      end
      assert_equal ["abc", "def", "gh", nil, ""], parts
    end
  end

  def test_a_long_string_is_shortened_and_a_short_one_grows
    isolated do
      answer = conversation(lambda { |c|
        long = +"x" * 100_000
        short = +""
        [c.read(10, long).dup, c.read_exactly(1).bytesize, c.read(50_000, short).bytesize.positive?, short.getbyte(-1)]
      }) { |peer| peer.write("0123456789#{"y" * 100_000}") }
      assert_equal ["0123456789", 1, true, "y".ord], answer
    end
  end

  # Each of many connections may keep its String, so a small message must not cost it as much as the largest might.
  def test_a_string_is_made_no_larger_than_small_messages_need
    isolated do
      sizes = conversation(lambda { |c|
        buffer = +""
        small = Array.new(3) do
          c.read(65_536, buffer)
          ObjectSpace.memsize_of(buffer).tap { c.write("+") }
        end
        large = 0
        large += c.read(65_536, buffer).bytesize while large < 2_000_000
        [small.max, buffer.bytesize.positive?]
      }) do |peer|
        3.times do
          peer.write("m" * 100)
          peer.read(1)
        end
        peer.write("n" * 2_000_000)
      end
      assert_operator sizes.first, :<, 1_000
      assert sizes.last
    end
  end

  def test_a_shared_string_leaves_its_sibling_alone
    isolated do
      whole = "a long string whose bytes are shared by its copies, as it is far too long for its object"
      copy = whole.dup
      tail = whole[10..]
      conversation(->(c) { [c.read(100, copy), c.read(100, tail)] }) do |peer|
        peer.write("one")
        Kernel.sleep 0.05
        peer.write("two")
      end
      assert_equal "a long string whose bytes are shared by its copies, as it is far too long for its object", whole
    end
  end

  def test_what_cannot_be_filled_is_refused_and_nothing_is_lost
    isolated do
      ended = Thread::Queue.new
      answer = conversation(lambda { |c|
        assert_raises(FrozenError) { c.read(10, "frozen") }
        [1, :buffer, Object.new].each { |garbage| assert_raises(TypeError) { c.read(10, garbage) } }
        written = +"x" * 20_000_000
        task = Nyario.spawn do
          c.write(written)
        rescue IOError
          written << "free again"
        ensure
          ended << true
        end
        Nyario.sleep(0.02)
        assert_match(/locked/, assert_raises(RuntimeError) { c.read(10, written) }.message)
        kept = c.read(10)
        c.close
        task.join
        kept
      }) do |peer|
        peer.write("kept")
        ended.pop
      end
      assert_equal "kept", answer
    end
  end

  def test_a_string_that_is_frozen_while_the_read_waits
    isolated do
      buffer = +""
      answer = conversation(lambda { |c|
        c.read(1)
        Nyario.spawn do
          buffer.freeze
          c.write("go")
        end
        assert_raises(FrozenError) { c.read(10, buffer) }
        c.read(10)
      }) do |peer|
        peer.write("x")
        peer.readpartial(2)
        peer.write("kept")
      end
      assert_equal "kept", answer
    end
  end

  def test_files_and_pipes
    both do
      buffer = +"before"
      Tempfile.create do |file|
        file.write("contents")
        file.rewind
        assert_same buffer, Nyario.read(file, 4, buffer)
        assert_equal "cont", buffer
        assert_equal "ents", Nyario.read(file, nil, buffer)
        assert_nil Nyario.read(file, 4, buffer)
        assert_equal "", buffer
        assert_raises(FrozenError) { Nyario.read(file, 4, "frozen") }
      end
      reader, writer = IO.pipe
      writer.write("pipe")
      assert_equal "pipe", Nyario.read(reader, 100, buffer)
      buffer << " and free again"
    end
  end

  # Within its object the kernel could not fill it while objects are moved.
  def test_a_short_string_that_a_file_fills_lies_outside_its_object
    isolated do
      Tempfile.create do |file|
        file.write("contents")
        file.rewind
        buffer = +""
        assert ObjectSpace.dump(buffer).include?('"embedded":true')
        in_loop { assert_equal "cont", Nyario.read(file, 4, buffer) }
        refute ObjectSpace.dump(buffer).include?('"embedded":true')
      end
    end
  end

  def test_a_string_is_locked_while_the_kernel_may_fill_it
    isolated do
      refused = nil
      text = "x" * 60_000
      Tempfile.create do |file|
        file.write(text)
        file.rewind
        buffer = +"before"
        in_loop do
          read = false
          meddler = Nyario.spawn do
            until read || refused
              buffer.replace("meddled")
              Nyario.sleep(0)
            end
          rescue RuntimeError => e
            refused = e.message
          end
          Nyario.read(file, nil, buffer)
          read = true
          assert_equal text, buffer
          meddler.join
        end
        # The ring reads a file while others run.
        assert_match(/locked/, refused.to_s) if Nyario.backend == "uring"
        buffer << "free again"
      end
    end
  end

  def test_what_an_io_has_read_ahead_comes_first
    both do
      reader, writer = IO.pipe
      writer.write("line\nrest")
      assert_equal "line\n", reader.gets
      assert_equal "re", Nyario.read(reader, 2)
      assert_equal "st", Nyario.read(reader, 100, +"")
      writer.write("more")
      assert_equal "more", Nyario.read(reader)
    end
  end

  ROUNDS = 1000

  # The peer is another process: its objects are not counted.
  def allocated(server, &exchange)
    count = nil
    Nyario.register(server) do |c|
      c.write("go")
      10.times { exchange.call(c) }
      before = GC.stat(:total_allocated_objects)
      ROUNDS.times { exchange.call(c) }
      count = GC.stat(:total_allocated_objects) - before
      Nyario.stop
    end
    peer = fork do
      socket = connect(server)
      socket.write("x")
      socket.readpartial(2)
      # What was sent first is for the first exchange.
      loop { socket.write("message") if socket.readpartial(100) }
    rescue EOFError, SystemCallError
      exit!(0)
    end
    Nyario.loop
    Process.wait(peer)
    count
  end

  def test_a_read_makes_one_string_and_into_a_string_none
    isolated do
      count = allocated(listener) do |c|
        c.read(4096)
        c.write("pong")
      end
      assert_includes ROUNDS..ROUNDS + 20, count
    end
    isolated do
      buffer = String.new(capacity: 4096)
      count = allocated(listener) do |c|
        c.read(4096, buffer)
        c.write("pong")
      end
      assert_includes 0..20, count
    end
  end
end
