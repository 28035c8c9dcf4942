# frozen_string_literal: true

require_relative "helper"

# A server that tells how its loop is doing.
class TestFigures < ExampleTest
  def figures(door)
    UNIXSocket.open(door) { |socket| patiently { socket.read } }.lines.to_h { |line| line.chomp.split(/ (?=\S+\z)/) }
  end

  def test_connections_are_counted_with_and_without_fibers
    Dir.mktmpdir do |folder|
      door = "#{folder}/door"
      # The helper's address comes last.
      command = ["sh", "-c", "exec #{Example::ROOT}/target/examples/figures \"$1\" #{door}", "figures"]
      example = Example.new(command, "127.0.0.1:0")
      silent = example.connect
      talking = Array.new(2) { example.connect }
      talking.each do |socket|
        socket.write("x")
        assert_equal "x", patiently { socket.read(1) }
      end
      told = figures(door)
      assert_includes %w[uring epoll], told["backend"]
      assert_equal %w[2 3 1], told.values_at("servers", "fibers", "idle"), told
      # Whoever asks at once may be answered in the same turn.
      patiently { sleep 0.01 until Integer(figures(door)["turns"]) > Integer(told["turns"]) }
      [silent, *talking].each(&:close)
      example.finish(:TERM)
    ensure
      example&.kill
    end
  end
end
