# frozen_string_literal: true

require "open3"
require_relative "helper"

class TestUDP < ExampleTest
  UDP = "#{Example::ROOT}/target/examples/udp"

  def test_sends_datagrams_back
    server = Example.new([UDP], "127.0.0.1:0")
    out, status = patiently { Open3.capture2e(UDP, server.address, "is anybody there?") }
    assert_equal ["is anybody there?\n", true], [out, status.success?]

    socket = UDPSocket.new
    socket.connect(*server.address.split(":"))
    ["one", "", "x" * 60_000].each do |text|
      socket.send(text, 0)
      assert_equal text, patiently { socket.recv(65_536) }
    end
    socket.close
    server.finish(:INT)
  ensure
    server&.kill
  end

  def test_waits_no_longer_than_a_second
    silent = UDPSocket.new.tap { |socket| socket.bind("127.0.0.1", 0) }
    out, status = patiently { Open3.capture2e(UDP, "127.0.0.1:#{silent.addr[1]}", "hello") }
    assert_equal ["no answer\n", false], [out, status.success?]
    silent.close
  end
end
