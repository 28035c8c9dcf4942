# frozen_string_literal: true

require_relative "helper"

# A server of several processes.
class TestPrefork < ExampleTest
  def prefork
    example = Example.new(Example.ruby(:prefork), "127.0.0.1:0")
    yield example
    example.finish(:TERM) if example.alive?
  ensure
    example&.kill
  end

  def ask(socket, line)
    socket.write("#{line}\n")
    patiently { socket.gets }.match(/\A(?<pid>\d+): #{Regexp.escape(line)}\n\z/) or flunk("no answer to #{line}")
  end

  # The worker that answers on a connection of its own.
  def worker(example)
    socket = example.connect
    ask(socket, "who?")[:pid]
  ensure
    socket.close
  end

  def test_several_processes_serve
    prefork do |example|
      pids = []
      patiently { pids |= [worker(example)] until pids.size == 4 }
      refute_includes pids, example.pid.to_s
    end
  end

  def test_who_dies_is_replaced
    prefork do |example|
      victim = worker(example)
      Process.kill(:KILL, Integer(victim))
      seen = []
      patiently { seen |= [worker(example)] until (seen - [victim]).size == 4 }
    end
  end

  def test_who_is_there_may_finish
    prefork do |example|
      # A worker that is told to end before it has begun may do so with an error.
      workers = []
      patiently { workers |= [worker(example)] until workers.size == 4 }
      socket = example.connect
      ask(socket, "before")
      finished = Thread.new { example.finish(:TERM) }
      patiently { nil while lets_in?(example) }
      ask(socket, "after")
      assert_predicate finished, :alive?
      socket.close
      patiently { finished.join }
    end
  end

  private

  # Whether somebody new is still let in.
  def lets_in?(example)
    example.connect.close
    true
  rescue SystemCallError
    false
  end
end
