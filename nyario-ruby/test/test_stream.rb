# frozen_string_literal: true

require "helper"

# What a connection has of an IO.
class TestStream < NyarioTest
  def test_readpartial
    isolated do
      conversation(lambda { |c|
        buffer = +""
        assert_equal "ab", c.readpartial(2)
        assert_same buffer, c.readpartial(10, buffer)
        assert_equal "cd", buffer
        assert_match(/end of file/, assert_raises(EOFError) { c.readpartial(10) }.message)
        assert_raises(EOFError) { c.readpartial(10, buffer) }
        assert_equal "", buffer
        assert_raises(ArgumentError) { c.readpartial }
      }) do |peer|
        peer.write("abcd")
        peer.close_write
      end
    end
  end

  def test_writing_as_to_any_io
    isolated do
      answer = nil
      conversation(lambda { |c|
        c.read
        assert_same c, c << "a" << 1 << :b
        assert_nil c.print("c", 2)
        assert_nil c.puts("line", "ended\n", %w[in an array], nil)
        c.puts
        assert_same c, c.flush
        assert_equal true, c.sync
        c.sync = false
        assert_equal true, c.sync
      }) do |peer|
        peer.write("go")
        answer = peer.read
      end
      assert_equal "a1bc2line\nended\nin\nan\narray\n\n\n", answer
    end
  end

  def test_the_end_of_what_is_written_alone
    isolated do
      answer = conversation(lambda { |c|
        c.read
        c.write("last")
        assert_nil c.close_write
        assert_raises(Errno::EPIPE) { c.write("x") }
        [c.read, c.closed?]
      }) do |peer|
        peer.write("go")
        assert_equal "last", peer.read
        peer.write("still heard")
      end
      assert_equal ["still heard", false], answer
    end
  end

  def test_a_closed_connection_refuses_everything
    isolated do
      conversation(lambda { |c|
        c.read
        c.close
        c.close
        assert_predicate c, :closed?
        [-> { c.readpartial(1) }, -> { c.read_exactly(1) }, -> { c.read_exactly(0) }, -> { c.read_until("x") }, -> { c.gets },
         -> { c.each_line { flunk } }, -> { c << "x" }, -> { c.print("x") }, -> { c.puts("x") }, -> { c.write("a", "b") },
         -> { c.close_write }, -> { c.fileno }, -> { Nyario.read_exactly(c, 1) }, -> { Nyario.read_until(c, "x") }]
          .each_with_index { |call, index| assert_raises(IOError, index.to_s) { call.call } }
        true
      }) { |peer| peer.write("x") }
    end
  end

  def test_a_close_ends_every_kind_of_wait
    [->(c) { c.read(1, +"") }, ->(c) { c.read_exactly(9) }, ->(c) { c.read_until("x") }, lambda(&:gets),
     ->(c) { c.write("x" * 20_000_000, "y") }].each do |wait|
      isolated do
        ended = Thread::Queue.new
        handler = lambda do |c|
          c.read
          closer = Nyario.spawn do
            Nyario.sleep(0.02)
            c.close
          end
          assert_raises(IOError) { wait.call(c) }.tap { closer.join }
        ensure
          ended << true
        end
        error = conversation(handler) do |peer|
          peer.write("go")
          ended.pop
        end
        assert_instance_of IOError, error
      end
    end
  end
end
