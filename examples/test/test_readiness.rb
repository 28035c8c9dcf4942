# frozen_string_literal: true

require_relative "helper"

# The echo server by hand does what the guide says that it does.
class TestReadiness < ExampleTest
  def with_server
    server = Example.new(["#{Example::ROOT}/target/examples/readiness"], "127.0.0.1:0")
    yield server
  ensure
    server&.kill
  end

  # All of them come before the server looks, which is one edge.
  def test_several_at_once
    with_server do |server|
      Process.kill(:STOP, server.pid)
      sockets = Array.new(20) { server.connect }
      Process.kill(:CONT, server.pid)
      sockets.each_with_index { |socket, n| socket.write("number #{n}") }
      sockets.each_with_index do |socket, n|
        assert_equal "number #{n}", patiently { socket.read("number #{n}".bytesize) }
      end
      sockets.each(&:close)
    end
  end

  # More than both sockets hold, so that each direction has to wait.
  def test_much_and_then_the_end
    with_server do |server|
      socket = server.connect
      sent = Random.new(1).bytes(8 << 20)
      writer = Thread.new do
        socket.write(sent)
        socket.close_write
      end
      assert_operator sent, :==, patiently { socket.read }
      writer.join
      socket.close
    end
  end
end
