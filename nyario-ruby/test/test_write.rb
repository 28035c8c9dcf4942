# frozen_string_literal: true

require "helper"

class TestWrite < NyarioTest
  BIG = Random.new(1).bytes(5_000_000).freeze

  # Serves one connection; the block reads what the handler writes.
  def written(handler)
    result = nil
    serving(lambda { |connection|
      connection.read
      result = handler.call(connection)
    }) do |server|
      peer = connect(server)
      peer.write("go")
      answer = yield peer
      peer.close
      [answer, result]
    end => [answer, _]
    [answer, result]
  end

  def test_writes_everything_and_counts_bytes
    { [] => 0, ["abc"] => 3, [""] => 0, ["", "a", ""] => 1, ["a", "bc", "def"] => 6, ["ä€"] => 5, [1, :two, nil, 3.5] => 7 }
      .each do |strings, count|
      isolated do
        assert_equal [strings.join.b, count], written(->(c) { c.write(*strings) }, &:read)
      end
    end
  end

  def test_what_cannot_become_a_string
    isolated do
      object = Object.new
      def object.to_s
        raise ArgumentError, "not me"
      end
      assert_equal(["ab".b, 1], written(lambda { |c|
        c.write("a")
        assert_raises(ArgumentError) { c.write(object) }
        c.write("b")
      }, &:read))
    end
  end

  def test_large_writes_to_a_slow_reader
    isolated do
      assert_equal([BIG, BIG.bytesize], written(->(c) { c.write(BIG) }) { |peer| slowly(peer) })
    end
    isolated do
      Dir.mktmpdir do |dir|
        serving(->(c) { c.write(c.read, BIG, "end") }, UNIXServer.new("#{dir}/socket")) do |server|
          peer = connect(server)
          peer.write("go")
          assert_equal "go#{BIG}end".b, slowly(peer)
        end
      end
    end
  end

  def test_unfrozen_and_shared_strings
    isolated do
      whole = BIG.dup
      shared = whole[1_000_000..]
      assert_equal([shared + whole, 9_000_000], written(->(c) { c.write(shared, whole) }) { |peer| slowly(peer) })
    end
  end

  def test_one_string_to_many_readers_at_once
    [BIG, BIG.dup].each do |text|
      isolated do
        errors = stderr_of do
          serving(->(c) { c.write(text) if c.read }) do |server|
            peers = Array.new(8) { connect(server).tap { |peer| peer.write("go") } }
            Kernel.sleep 0.2
            peers.map { |peer| Thread.new { slowly(peer) } }.each { |reader| assert_equal BIG, reader.value }
          end
        end
        assert_empty errors
        text << "x" unless text.frozen?
      end
    end
  end

  def test_a_string_is_locked_while_its_write_waits
    isolated do
      text = BIG.dup
      refused = []
      answer, = written(lambda { |c|
        meddler = Nyario.spawn do
          [-> { text << "x" }, -> { text[0] = "y" }, -> { text.clear }, -> { text.replace("z") }].each do |meddle|
            meddle.call
          rescue RuntimeError => e
            refused << e.message
          end
        end
        c.write(text)
        meddler.join
        text << "free again"
      }) { |peer| slowly(peer) }
      assert_equal BIG, answer
      assert_equal 4, refused.grep(/locked/).size, refused.inspect
    end
  end

  def test_a_string_is_free_again_after_a_failed_write
    isolated do
      text = BIG.dup
      failure = nil
      serving(lambda { |c|
        c.read
        begin
          c.write(text)
        rescue SystemCallError => e
          failure = e
        end
        text << "x"
      }) do |server|
        peer = connect(server)
        peer.write("go")
        peer.readpartial(10)
        peer.close
        eventually { text.bytesize == BIG.bytesize + 1 }
      end
      assert_includes [Errno::EPIPE, Errno::ECONNRESET], failure.class
    end
  end

  def test_a_small_string_that_waits
    isolated do
      # Strings this short lie inside their objects.
      pieces = Array.new(200_000) { |n| format("%07d;", n) }
      answer, count = written(->(c) { pieces.sum { |piece| c.write(piece) } }) { |peer| slowly(peer) }
      assert_equal 1_600_000, count
      assert_equal pieces.join, answer
    end
  end

  # While objects are moved the kernel cannot read what lies among them, so it has a copy of what may.
  def test_a_short_string_that_waits_is_the_callers_again
    [1, 3].each do |count|
      isolated do
        in_loop do
          reader, writer = UNIXSocket.pair
          nil until writer.write_nonblock("x" * 4096, exception: false) == :wait_writable
          texts = Array.new(count) { +"as it was" }
          write = Nyario.spawn { Nyario.write(writer, *texts).tap { writer.close } }
          Nyario.sleep(0.01)
          assert_predicate write, :alive?
          texts.each { |text| text.replace("meddled !") }
          all = +"".b
          while (part = Nyario.read(reader))
            all << part
          end
          assert_equal 9 * count, write.value
          assert_equal "as it was" * count, all.delete("x")
        end
      end
    end
  end

  def test_two_fibers_that_write_to_one_connection
    isolated do
      answer, = written(lambda { |c|
        tasks = %w[a b c].map { |letter| Nyario.spawn { 30.times { c.write(letter * 50_000) } } }
        tasks.each(&:value)
      }) { |peer| slowly(peer) }
      assert_equal({ "a" => 1_500_000, "b" => 1_500_000, "c" => 1_500_000 }, answer.chars.tally)
    end
  end

  private

  # Reads all there is, with rests that let the sender's buffer fill.
  def slowly(peer)
    all = +"".b
    rounds = 0
    while (part = peer.read(100_000))
      all << part
      Kernel.sleep 0.002 if (rounds += 1) < 40
    end
    all
  end
end
