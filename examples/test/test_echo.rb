# frozen_string_literal: true

require_relative "helper"

class TestEcho < ExampleTest
  each_example :echo, "sends bytes back" do |example|
    socket = example.connect
    ["a", "two words\n", "\0\xff".b].each do |text|
      socket.write(text)
      assert_equal text.b, patiently { socket.read(text.bytesize) }
    end
    socket.close
  end

  each_example :echo, "sends much back and then the end" do |example|
    socket = example.connect
    sent = Random.new(1).bytes(4 << 20)
    writer = Thread.new do
      socket.write(sent)
      socket.close_write
    end
    assert_operator sent, :==, patiently { socket.read }
    writer.join
    socket.close
  end

  each_example :echo, "serves many at once" do |example|
    sockets = Array.new(200) { example.connect }
    sockets.each_with_index { |socket, n| socket.write("number #{n}") }
    sockets.each_with_index do |socket, n|
      assert_equal "number #{n}", patiently { socket.read("number #{n}".bytesize) }
    end
    sockets.each(&:close)
  end
end
