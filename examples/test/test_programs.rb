# frozen_string_literal: true

require "English"
require_relative "helper"

# Examples that begin, say something and end.
class TestPrograms < ExampleTest
  def say(name, *arguments)
    said = patiently { IO.popen([*Example.ruby(name), *arguments], err: %i[child out], &:readlines) }
    assert_predicate $CHILD_STATUS, :success?, said.join
    said.map(&:chomp)
  end

  def test_fibers_sort_by_sleeping
    assert_equal %w[0.5 60 120 180 240], say(:sleep_sort, "180", "60", "240", "0.5", "120")
  end

  # How the lines of different timers mix is the machine's affair; what each timer says is not.
  def test_timers_call
    clock, rest = say(:timers).partition { |line| line.start_with?("minute", "the clock") }
    assert_equal [*(1..6).map { |n| "minute #{n}" }, "the clock is stopped"], clock
    assert_equal ["the egg has cooled down", "the egg is done", "the guest is late", "the roast is taken out in time"], rest.sort
    assert_operator rest.index("the egg is done"), :<, rest.index("the egg has cooled down")
  end

  # The pages are held back until each has been asked for.
  def test_pages_are_fetched_at_once
    server = TCPServer.new("127.0.0.1", 0)
    place = "http://127.0.0.1:#{server.local_address.ip_port}"
    waiting = Thread.new do
      Array.new(20) { server.accept.tap { |client| client.gets("\r\n\r\n") } }.each do |client|
        client.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        client.close
      end
    end
    urls = Array.new(20) { |number| "#{place}/#{number}" }
    nowhere = "http://127.0.0.1:1/"
    said = say(:fan_out, *urls, nowhere)
    assert_equal urls.map { |url| "#{url}: 200, 5 bytes" }.sort, said.grep(/200/).sort
    assert_match(/^#{nowhere}: .*refused/, said.grep_v(/200/).join("\n"))
    waiting.join
  ensure
    server&.close
  end
end
