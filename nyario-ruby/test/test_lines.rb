# frozen_string_literal: true

require "helper"
require "tempfile"

# Reading up to a separator, and so many bytes.
class TestLines < NyarioTest
  # What the handler makes of a stream that comes in those pieces.
  def heard(*pieces, &handler)
    result = nil
    isolated do
      result = conversation(handler) do |peer|
        pieces.each_with_index do |piece, index|
          Kernel.sleep 0.02 unless index.zero?
          peer.write(piece)
        end
        peer.close_write
      end
      result
    end
  end

  def test_exactly_so_many
    heard("ab", "cdef", "g") do |c|
      assert_equal %w[abc d], [c.read_exactly(3), c.read_exactly(1)]
      assert_equal "", c.read_exactly(0)
      text = c.read_exactly(3)
      assert_equal ["efg", Encoding::BINARY], [text, text.encoding]
      assert_nil c.read
      assert_raises(EOFError) { c.read_exactly(1) }
      assert_equal "", c.read_exactly(0)
    end
  end

  def test_what_came_before_the_end_is_kept
    heard("abc", "de") do |c|
      assert_raises(EOFError) { c.read_exactly(6) }
      assert_equal "abc", c.read(3)
      assert_raises(EOFError) { Nyario.read_exactly(c, 3) }
      assert_equal "de", c.read
      assert_nil c.read
    end
  end

  def test_many_bytes
    text = Random.new(4).bytes(3_000_000)
    heard(text) do |c|
      assert_equal text[0, 2_500_000], c.read_exactly(2_500_000)
      assert_raises(EOFError) { c.read_exactly(500_001) }
      assert_equal text[2_500_000..], c.read_exactly(500_000)
    end
  end

  def test_no_memory_is_taken_for_what_does_not_come
    heard("ab") do |c|
      assert_raises(EOFError) { c.read_exactly(2**45) }
      assert_equal "ab", c.read
    end
  end

  def test_numbers_that_make_no_sense
    heard("kept") do |c|
      assert_raises(ArgumentError) { c.read_exactly(-1) }
      assert_raises(TypeError) { c.read_exactly("1") }
      assert_raises(TypeError) { c.read_exactly(nil) }
      assert_raises(RangeError) { c.read_exactly(2**80) }
      assert_equal "kept", c.read
    end
  end

  def test_until_a_separator
    heard("one\r\ntwo\r", "\nthree", "\r", "\n", "four") do |c|
      assert_equal ["one\r\n", "two\r\n"], [c.read_until("\r\n"), Nyario.read_until(c, "\r\n")]
      assert_equal "th", c.read(2)
      line = c.read_until("\r\n")
      assert_equal ["ree\r\n", Encoding::BINARY], [line, line.encoding]
      assert_raises(EOFError) { c.read_until("\r\n") }
      assert_equal "four", c.read
      assert_nil c.read_until("\r\n")
    end
  end

  def test_separators_that_overlap_themselves
    heard("aab", "aaab", "x--", "-->") do |c|
      assert_equal %w[aab aaab], [c.read_until("aab"), c.read_until("aab")]
      assert_equal "x---->"[0, 6], c.read_until("-->")
    end
    text = "y#{"-" * 300}>"
    heard(*text.chars.each_slice(50).map(&:join)) { |c| assert_equal text, c.read_until("#{"-" * 100}>") }
  end

  def test_every_cut_of_a_separator
    stream = "aXYZbXYXYZc"
    (1...stream.size).each do |cut|
      heard(stream[0, cut], stream[cut..]) do |c|
        assert_equal %w[aXYZ bXYXYZ], [c.read_until("XYZ"), c.read_until("XYZ")], cut
        assert_equal "c", c.read
      end
    end
  end

  def test_a_line_beyond_the_limit_is_kept
    heard("#{"x" * 100}\nshort\n") do |c|
      assert_raises(Nyario::LimitError) { c.read_until("\n", limit: 100) }
      assert_raises(Nyario::LimitError) { c.read_until("\n", limit: 1) }
      assert_equal 101, c.read_until("\n", limit: 101).bytesize
      assert_equal "short\n", c.read_until("\n", limit: 6)
    end
    heard("y" * 70_000) do |c|
      assert_raises(Nyario::LimitError) { c.read_until("\n") }
      assert_equal 70_000, c.read_exactly(70_000).bytesize
    end
  end

  def test_what_separates_nothing
    heard("kept\n") do |c|
      assert_raises(ArgumentError) { c.read_until("") }
      [nil, 1, :x].each { |garbage| assert_raises(TypeError) { c.read_until(garbage) } }
      [0, -1].each { |limit| assert_raises(ArgumentError) { c.read_until("\n", limit: limit) } }
      assert_raises(ArgumentError) { c.read_until("\n", most: 5) }
      assert_raises(ArgumentError) { c.read_until }
      assert_equal "kept\n", c.read_until("\n")
    end
  end

  def test_of_an_io_of_ruby
    both do
      reader, writer = IO.pipe
      writer.write("one\r\ntwo\r\nrest of it")
      assert_equal "one\r\n", Nyario.read_until(reader, "\r\n")
      assert_equal "two\r\n", Nyario.read_until(reader, "\r\n", limit: 5)
      # What came too early is Ruby's to read, and nyario's.
      assert_equal "re", reader.readpartial(2)
      assert_equal "st", Nyario.read_exactly(reader, 2)
      assert_equal " of", Nyario.read(reader, 3)
      assert_raises(Nyario::LimitError) { Nyario.read_until(reader, "\n", limit: 3) }
      writer.close
      assert_raises(EOFError) { Nyario.read_until(reader, "\n") }
      assert_raises(EOFError) { Nyario.read_exactly(reader, 4) }
      assert_equal " it", Nyario.read_exactly(reader, 3)
      assert_nil Nyario.read_until(reader, "\n")
      assert_equal "", Nyario.read_exactly(reader, 0)
      assert_raises(EOFError) { Nyario.read_exactly(reader, 1) }
    end
  end

  def test_of_a_file_and_of_much
    both do
      text = Random.new(6).bytes(300_000)
      Tempfile.create do |file|
        file.binmode
        file.write("head;", text)
        file.rewind
        assert_equal "head;", Nyario.read_until(file, ";")
        assert_equal text[0, 250_000], Nyario.read_exactly(file, 250_000)
        assert_equal text[250_000..], file.read
      end
    end
  end

  def test_an_exception_in_a_wait_for_an_io_loses_nothing
    isolated do
      in_loop do
        reader, writer = IO.pipe
        writer.write("abc")
        assert_raises(Timeout::Error) { Timeout.timeout(0.05) { Nyario.read_exactly(reader, 10) } }
        assert_raises(Timeout::Error) { Timeout.timeout(0.05) { Nyario.read_until(reader, "\n") } }
        assert_equal "abc", Nyario.read(reader)
        Nyario.spawn do
          Nyario.sleep(0.02)
          reader.close
        end
        assert_raises(IOError) { Nyario.read_until(reader, "\n") }
      end
    end
  end

  def test_a_number_has_no_place_for_what_comes_too_early
    both do
      reader, _other = IO.pipe
      assert_raises(TypeError) { Nyario.read_until(reader.fileno, "\n") }
      assert_raises(TypeError) { Nyario.read_exactly(reader.fileno, 1) }
      assert_raises(TypeError) { Nyario.read_exactly("reader", 1) }
    end
  end

  def test_lines
    heard("one\ntwo\nthr", "ee\n\nlast") do |c|
      assert_equal ["one\n", "two"], [c.gets, c.gets(chomp: true)]
      assert_equal "three\n", c.gets("\n", chomp: false)
      assert_equal ["", "last", nil], [c.gets(chomp: true), c.gets, c.gets]
    end
    heard("a;b;c") { |c| assert_equal ["a;", "b", "c", nil], [c.gets(";"), c.gets(";", chomp: true), c.gets(";"), c.gets] }
  end

  def test_each_line
    heard("one\ntwo\n", "three") do |c|
      lines = []
      assert_same c, c.each_line(chomp: true) { |line| lines << line }
      assert_equal %w[one two three], lines
    end
    heard("a,b,c") do |c|
      lines = c.each_line(",")
      assert_kind_of Enumerator, lines
      assert_equal ["a,", "b,", "c"], lines.to_a
    end
    heard("one\ntwo\n") do |c|
      assert_raises(IOError) { c.each_line { c.close } }
    end
  end

  # A peer that stays silent after that.
  def silence(text, &handler)
    isolated do
      peers = []
      result = conversation(handler) do |peer|
        peer.write(text)
        peers << peer.dup
      end
      peers.each(&:close)
      result
    end
  end

  def test_an_exception_in_a_wait_loses_nothing
    silence("abc") do |c|
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { c.read_exactly(10) } }
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { c.read_until("\n") } }
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { c.gets } }
      assert_equal "abc", c.read
      true
    end
  end

  def test_the_connections_own_timeout
    expired = IO.const_defined?(:TimeoutError) ? IO::TimeoutError : Nyario::TimeoutError
    silence("abc") do |c|
      assert_nil c.timeout
      c.timeout = 0.05
      assert_in_delta 0.05, c.timeout
      assert_raises(expired) { c.read_exactly(10) }
      assert_raises(expired) { c.read_until("\n") }
      assert_equal "abc", c.read
      assert_raises(expired) { c.read }
      assert_raises(expired) { c.read(10, +"") }
      assert_raises(expired) { c.write("x" * 50_000_000) }
      [0, -1, Float::NAN].each { |garbage| assert_raises(ArgumentError) { c.timeout = garbage } }
      assert_raises(TypeError) { c.timeout = "1" }
      c.timeout = nil
      assert_nil c.timeout
      true
    end
  end

  def test_the_bytes_of_one_are_not_the_others
    isolated do
      # Numbers are used again: what a connection has kept is not for the next.
      serving(->(c) { c.write("#{c.gets(chomp: true)};") }) do |server|
        20.times do |n|
          peer = connect(server)
          peer.write("#{n}\nfor nobody")
          assert_equal "#{n};", peer.readpartial(100)
          peer.close
        end
      end
    end
  end
end
