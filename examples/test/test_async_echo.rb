# frozen_string_literal: true

require_relative "helper"

# The echo server that async runs on nyario's core.
class TestAsyncEcho < ExampleTest
  def each_family
    skip "async is not installed for Ruby #{RUBY_VERSION}" if Gem::Specification.find_all_by_name("async").empty?

    Dir.mktmpdir do |folder|
      ["127.0.0.1:0", "#{folder}/socket"].each do |address|
        example = Example.new(Example.ruby(:async_echo), address)
        yield example
        example.finish(:TERM) if example.alive?
      ensure
        example&.kill
      end
    end
  end

  def test_it_sends_much_back_and_then_the_end
    each_family do |example|
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
  end

  def test_it_serves_many_and_ends_with_them
    each_family do |example|
      sockets = Array.new(200) { example.connect }
      sockets.each_with_index { |socket, n| socket.write("number #{n}") }
      sockets.each_with_index do |socket, n|
        assert_equal "number #{n}", patiently { socket.read("number #{n}".bytesize) }
      end
      example.finish(:INT)
      sockets.each { |socket| assert_nil patiently { socket.read(1) } }
    end
  end
end
