# frozen_string_literal: true

require_relative "helper"

class TestEnd < ExampleTest
  %i[INT TERM].each do |signal|
    each_example :echo, "ends cleanly on", signal do |example|
      # One that has never spoken, one in the middle of a conversation, and one whose answers nobody reads.
      silent = example.connect
      talking = example.connect
      talking.write("x")
      assert_equal "x", patiently { talking.read(1) }
      stuck = example.connect
      patiently { nil until stuck.write_nonblock("y" * 65_536, exception: false) == :wait_writable && settled?(stuck) }

      example.finish(signal)
      [silent, talking].each { |socket| assert_equal "", patiently { socket.read } }
      assert_raises(Errno::ECONNREFUSED) { example.connect }
      [silent, talking, stuck].each(&:close)
    end

    each_example :http_hello, "ends cleanly on", signal do |example|
      idle = example.connect
      idle.write("GET / HTTP/1.1\r\n\r\nGET / ")
      assert_equal "HTTP/1.1 200 OK\r\n", patiently { idle.gets }
      example.finish(signal)
      assert_match(/Hello, world\n\z/, patiently { idle.read })
      assert_raises(Errno::ECONNREFUSED) { example.connect }
      idle.close
    end
  end

  each_example :echo, "may be started again at the same place" do |example|
    socket = example.connect
    socket.write("x")
    assert_equal "x", patiently { socket.read(1) }
    example.finish(:TERM)
    socket.close
    # A plain UNIXServer does not take over what a server before it has left behind.
    File.delete(example.address) if example.address.include?("/")
    again = Example.new(example.command, example.address)
    socket = again.connect
    socket.write("y")
    assert_equal "y", patiently { socket.read(1) }
    socket.close
    again.finish(:TERM)
  ensure
    again&.kill
  end

  # Whether neither side takes any more.
  def settled?(socket)
    socket.wait_writable(0.1).nil?
  end
end
