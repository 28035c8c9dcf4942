# frozen_string_literal: true

require "English"
require_relative "helper"

# Examples that leave something to other threads.
class TestThreads < ExampleTest
  EXAMPLES = "#{Example::ROOT}/target/examples"

  def run_server(name)
    example = Example.new(["#{EXAMPLES}/#{name}"], "127.0.0.1:0")
    yield example
    example.finish(:TERM) if example.alive?
  ensure
    example&.kill
  end

  def ask(socket, question)
    socket.write(question)
    patiently { socket.gets }
  end

  def test_the_pool_computes
    run_server("pool") do |example|
      socket = example.connect
      assert_equal ["97\n", "2\n", "none\n", "none\n"], ["100\n", "2\n", "1\n", "nonsense\n"].map { |line| ask(socket, line) }
      socket.write("10\n20\n3")
      assert_equal ["7\n", "19\n"], (patiently { [socket.gets, socket.gets] })
      assert_equal "31\n", ask(socket, "1\n")
      socket.close
    end
  end

  def test_the_pool_serves_others_meanwhile
    run_server("pool") do |example|
      busy, other = Array.new(2) { example.connect }
      # Seconds of divisions. Who is held up for that long has seen nothing, and asks again.
      meanwhile = 5.times.any? do
        busy.write("100000000000000003\n")
        assert_equal "7\n", ask(other, "8\n")
        quiet = busy.wait_readable(0).nil?
        assert_equal "100000000000000003\n", (patiently { busy.gets })
        quiet
      end
      assert meanwhile
      [busy, other].each(&:close)
    end
  end

  def dns(*arguments)
    said = patiently { IO.popen(["#{EXAMPLES}/dns", *arguments], err: %i[child out], &:read) }
    [said, $CHILD_STATUS.exitstatus]
  end

  def test_names_are_looked_up_at_once
    said, status = dns("20000", "127.0.0.1", "localhost", "::1")
    lines = said.lines
    assert_equal ["127.0.0.1: 127.0.0.1\n", "::1: ::1\n"], lines.values_at(0, 2)
    assert_match(/\Alocalhost:.* (127\.0\.0\.1|::1)/, lines[1])
    assert_equal 0, status
  end

  def test_names_that_nobody_has_are_told
    said, status = dns("20000", "host.invalid", "127.0.0.1")
    assert_match(/\Ahost\.invalid: (no such host or service|no answer from the name servers for now)$/, said)
    assert_equal "127.0.0.1: 127.0.0.1\n", said.lines.last
    assert_equal 1, status
    assert_equal 2, dns("0", "localhost").last
  end

  def test_every_processor_serves
    run_server("per_core") do |example|
      sockets = Array.new(50) { example.connect }
      sockets.each_with_index do |socket, number|
        socket.write(number.to_s)
        assert_equal number.to_s, (patiently { socket.readpartial(10) })
      end
      sockets.each(&:close)
    end
  end

  def test_a_drain_lets_them_finish
    run_server("per_core") do |example|
      busy = example.connect
      busy.write("x")
      assert_equal "x", (patiently { busy.read(1) })
      idle = example.connect
      # Whoever has not been accepted when the drain begins is reset.
      patiently { sleep 0.01 while anybody_waits?(example) }
      finished = Thread.new { example.finish(:TERM) }
      assert_equal "", (patiently { idle.read })
      busy.write("y")
      assert_equal "y", (patiently { busy.read(1) })
      busy.close
      patiently { finished.join }
    end
  end

  private

  # Whether a listener at the example's port has connections that nobody has accepted. The kernel calls them what was received.
  def anybody_waits?(example)
    port = format(":%04X", Integer(example.address[/\d+\z/]))
    File.foreach("/proc/net/tcp").map(&:split).any? do |_, address, _, state, queues|
      state == "0A" && address.end_with?(port) && !queues.end_with?(":00000000")
    end
  end
end
