# frozen_string_literal: true

require "minitest/autorun"
require_relative "hello"

class TestHello < Minitest::Test
  def setup
    @parser = Hello::Parser.new
  end

  def test_a_head_is_taken_apart
    assert_equal(["GET", "/", {}], @parser.parse("GET / HTTP/1.1\r\n\r\n"))
    head = "PUT /a?b HTTP/1.1\r\nHost: here:80\r\nX-Empty:\r\nx-Spaced: \t a b\r\n\r\n"
    headers = { "host" => "here:80", "x-empty" => "", "x-spaced" => "a b" }
    assert_equal(["PUT", "/a?b", headers], @parser.parse(head))
  end

  def test_what_is_no_head_is_refused
    [
      "", "\r\n\r\n", "GET /\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n",
      "GET / HTTP/1.1\r\nHost\r\n\r\n", "GET / HTTP/1.1\r\n: here\r\n\r\n", "GET / HTTP/1.1\r\nHost : here\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: here\r\n\r\nmore"
    ].each { |head| assert_nil(@parser.parse(head), head) }
  end
end
