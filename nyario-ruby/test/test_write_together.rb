# frozen_string_literal: true

require "helper"

# Several strings in one call.
class TestWriteTogether < NyarioTest
  # Serves one connection; the block reads what the handler writes. What it read, and what the handler returned.
  def written(handler, server = listener)
    result = nil
    all = serving(lambda { |connection|
      connection.read
      result = handler.call(connection)
    }, server) do
      peer = connect(server)
      peer.write("go")
      yield(peer)
    end
    [all, result]
  end

  # Reads all there is, with rests that let the sender's buffer fill.
  def slowly(peer)
    all = +"".b
    while (part = peer.read(300_000))
      all << part
      Kernel.sleep 0.002
    end
    all
  end

  def test_each_in_its_place
    [0, 1, 2, 63, 64, 65, 200].each do |count|
      isolated do
        strings = Array.new(count) { |n| n.odd? ? "#{n};" : n }
        assert_equal [strings.join, strings.join.bytesize], written(->(c) { c.write(*strings) }, &:read)
      end
    end
    isolated { assert_equal ["ab".b, 2], written(->(c) { c.write("", "a", "", "b", "") }, &:read) }
    isolated { assert_equal ["".b, 0], written(->(c) { c.write("", "") }, &:read) }
  end

  def test_they_go_out_in_one_message
    both do
      left, right = UNIXSocket.pair(:SEQPACKET)
      assert_equal 13, Nyario.write(left, "one ", "two ", :three)
      assert_equal "one two three", right.recv(100)
    end
  end

  def test_what_does_not_fit_goes_on
    pieces = Array.new(150) { |n| Random.new(n).bytes(n * 700) }
    [pieces, pieces.each(&:freeze)].each do |strings|
      isolated do
        text, count = written(->(c) { c.write(*strings) }) { |peer| slowly(peer) }
        assert_equal [strings.join, strings.sum(&:bytesize)], [text, count]
      end
    end
  end

  def test_a_pipe_and_a_thread_without_a_loop
    pieces = Array.new(30) { |n| n.to_s * 20_000 }
    both do
      reader, writer = IO.pipe
      got = Thread.new { reader.read }
      assert_equal pieces.sum(&:bytesize), Nyario.write(writer, *pieces)
      writer.close
      assert_equal pieces.join, got.value
    end
  end

  def test_one_string_several_times
    isolated do
      text = "x" * 3_000_000
      all, = written(->(c) { c.write(text, "-", text) && text << "free again" }) { |peer| slowly(peer) }
      assert_equal "#{"x" * 3_000_000}-#{"x" * 3_000_000}", all
    end
  end

  def test_they_are_locked_while_they_wait_and_free_afterwards
    isolated do
      texts = Array.new(3) { "x" * 2_000_000 }
      refused = 0
      all, = written(lambda { |c|
        meddler = Nyario.spawn do
          texts.each do |text|
            text << "meddled"
          rescue RuntimeError
            refused += 1
          end
        end
        c.write(*texts)
        meddler.join
        texts.each { |text| text << "free again" }
      }) { |peer| slowly(peer) }
      assert_equal [6_000_000, 3], [all.bytesize, refused]
    end
  end

  def test_they_are_free_after_a_failure_and_an_exception
    isolated do
      texts = Array.new(3) { "x" * 2_000_000 }
      errors = []
      written(lambda { |c|
        begin
          Timeout.timeout(0.05) { c.write(*texts) }
        rescue Timeout::Error => e
          errors << e.class
        end
        texts.each { |text| text << "free" }
        begin
          c.write(*texts)
        rescue SystemCallError => e
          errors << e.class
        end
        texts.each { |text| text << "again" }
      }) do |peer|
        eventually { errors.size == 1 }
        peer.readpartial(10)
        peer.close
        eventually { errors.size == 2 && texts.last.end_with?("again") }
      end
      assert_equal Timeout::Error, errors.first
      assert_includes [Errno::EPIPE, Errno::ECONNRESET], errors.last
    end
  end

  def test_a_conversion_that_fails_writes_nothing
    isolated do
      object = Object.new
      def object.to_s
        raise ArgumentError, "not me"
      end
      all, = written(lambda { |c|
        assert_raises(ArgumentError) { c.write("a", object, "b") }
        c.write("fine")
      }, &:read)
      assert_equal "fine", all
    end
  end

  def test_a_connection_that_a_conversion_closes
    isolated do
      # The number is another's by the time of the write.
      closer = Struct.new(:connection, :pair) do
        def to_s
          number = connection.fileno
          connection.close
          self.pair = UNIXSocket.pair
          raise "the number is not used again" unless pair.map(&:fileno).include?(number)

          "x"
        end
      end
      all, = written(lambda { |c|
        meddler = closer.new(c)
        assert_raises(IOError) { c.write("a", meddler) }
        assert_raises(IOError) { c.write("a", "b") }
        meddler.pair.each { |socket| assert_equal :wait_readable, socket.read_nonblock(1, exception: false) }
      }, &:read)
      assert_equal "", all
    end
  end
end
