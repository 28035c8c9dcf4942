# frozen_string_literal: true

require_relative "helper"

class TestProxy < ExampleTest
  PROXY = "#{Example::ROOT}/target/examples/proxy"

  # A proxy before the echo server.
  def with_proxy
    Dir.mktmpdir do |folder|
      Example.run(:c, :echo, "#{folder}/upstream") do |echo|
        proxy = Example.new([PROXY, echo.address], "127.0.0.1:0")
        yield proxy
        proxy.finish(:TERM)
      ensure
        proxy&.kill
      end
    end
  end

  def test_passes_both_directions_on
    with_proxy do |proxy|
      sent = Random.new(2).bytes(3 << 20)
      sockets = Array.new(3) { proxy.connect }
      writers = sockets.map do |socket|
        Thread.new do
          socket.write(sent)
          socket.close_write
        end
      end
      sockets.each { |socket| assert_operator sent, :==, patiently { socket.read } }
      writers.each(&:join)
      sockets.each(&:close)
    end
  end

  def test_ends_with_a_connection_open
    with_proxy do |proxy|
      socket = proxy.connect
      socket.write("a word")
      assert_equal "a word", patiently { socket.read(6) }
    end
  end
end
