# frozen_string_literal: true

require "English"
require_relative "helper"

# A client that asks several servers at once.
class TestDeadline < ExampleTest
  # A server that takes a line and does with it what the block says.
  def server(&block)
    listener = TCPServer.new("127.0.0.1", 0)
    @listeners << listener
    @threads << Thread.new do
      socket = listener.accept
      block.call(socket, socket.gets)
    end
    "127.0.0.1:#{listener.addr[1]}"
  end

  def setup
    @listeners = []
    @threads = []
  end

  def teardown
    @threads.each(&:kill).each(&:join)
    @listeners.each(&:close)
  end

  def ask(milliseconds, *addresses)
    command = ["#{Example::ROOT}/target/examples/deadline", milliseconds.to_s, "who?", *addresses]
    said = patiently { IO.popen(command, err: %i[child out], &:read) }
    [said.lines(chomp: true), $CHILD_STATUS.exitstatus]
  end

  def silent
    server { |_, _| sleep }
  end

  def test_the_first_answer_cancels_the_others
    quiet = [silent, silent]
    quick = server { |socket, line| socket.write("you asked #{line}") }
    said, status = ask(20_000, quiet[0], quick, quiet[1])
    assert_equal ["#{quiet[0]}: ECANCELED", "#{quick}: you asked who?", "#{quiet[1]}: ECANCELED"], said
    assert_equal 0, status
  end

  def test_nobody_is_waited_for_past_the_deadline
    quiet = silent
    # A part of a line is no answer.
    slow = server do |socket, _|
      socket.write("I a")
      sleep
    end
    said, status = ask(100, quiet, slow)
    assert_equal ["#{quiet}: ETIMEDOUT", "#{slow}: ETIMEDOUT"], said
    assert_equal 1, status
  end

  def test_what_fails_is_told
    gone = server { |socket, _| socket.close }
    nobody = TCPServer.open("127.0.0.1", 0) { |listener| "127.0.0.1:#{listener.addr[1]}" }
    said, status = ask(20_000, nobody, gone)
    assert_equal ["#{nobody}: ECONNREFUSED", "#{gone}: no answer"], said
    assert_equal 1, status
  end
end
