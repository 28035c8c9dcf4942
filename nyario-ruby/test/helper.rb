# frozen_string_literal: true

require "minitest/autorun"
require "io/wait"
require "nyario"
require "socket"
require "stringio"
require "tmpdir"
require "timeout"

# What the tests share. Each test body that runs a loop does so in a process of its own: a hang is then a failure after
# a while instead of the end of the run, and no test sees the signals, descriptors or fibers of another.
module Helper
  # How long a process may take before it is taken for hung; nothing in here needs more than a few seconds.
  PATIENCE = 30

  # The same where each object that is made has the garbage collector run.
  UNDER_STRESS = 120

  # Runs the block in a forked process and reports its failures as this test's own. A process that hangs is killed, with
  # whatever it has started.
  def isolated(patience: PATIENCE, &block)
    reader, writer = IO.pipe(binmode: true)
    child = fork do
      Process.setpgrp
      # A shell that starts the tests in the background has interrupts ignored, and children inherit that.
      Signal.trap(:INT, "DEFAULT")
      reader.close
      writer.write(Marshal.dump(outcome(&block)))
      writer.close
      exit!(0)
    end
    writer.close
    answer = (reader.read if reader.wait_readable(patience))
    Process.kill(:KILL, -child) unless answer
    _, status = Process.wait2(child)
    # Its own children may outlive it, and whoever reads the tests' output would wait for them.
    kill_group(child)
    flunk "hung: nothing came of it within #{patience} s" unless answer
    flunk "the process ended early: #{status.inspect}" if answer.empty?
    accept(*Marshal.load(answer))
  ensure
    reader.close
  end

  # Has the collector move objects with each major collection. Ruby 3.1's does so between the steps of a program, and loses
  # objects of its own (a thread's `$?`, cached methods) where another thread compacts as well: with nothing but Ruby in it,
  # such a program ends by SIGABRT one time in 200; so there nothing moves, and the answer is false.
  def self.move_objects
    return false if RUBY_VERSION < "3.2"

    GC.auto_compact = true
  rescue NotImplementedError
    false
  end

  move_objects if ENV["NYARIO_COMPACTING"]

  # Serves with that handler for as long as the block runs, on a thread of its own, and returns the block's value.
  def serving(handler, server = listener, **options)
    Nyario.register(server, handler, **options)
    client = Thread.new do
      Thread.current.report_on_exception = false
      yield server
    ensure
      Nyario.stop
    end
    Nyario.loop
    client.value
  end

  # Runs one handler for one connection; the block plays the peer. Returns what the handler returned.
  def conversation(handler, **options)
    answer = failure = nil
    isolated = lambda do |connection|
      answer = handler.call(connection)
    rescue StandardError => e
      failure = e
      raise
    end
    errors = stderr_of do
      serving(isolated, **options) do |server|
        peer = connect(server)
        yield peer
        peer.close
        eventually { answer || failure }
      end
    end
    raise failure if failure

    assert_empty errors
    answer
  end

  # Each body runs twice: on a fiber of a loop, and on a thread without one.
  def both(&block)
    isolated { in_loop(&block) }
    isolated(&block)
  end

  # Runs the block in a task of a loop and returns the block's value.
  def in_loop(&block)
    task = Nyario.spawn(&block)
    Nyario.loop
    task.value
  end

  # Runs the block on a thread with a scheduler until everything that it schedules has ended, and returns its value.
  def scheduled
    Thread.new do
      Thread.current.report_on_exception = false
      Fiber.set_scheduler(Nyario::Scheduler.new)
      yield
    end.value
  end

  def listener
    TCPServer.new("127.0.0.1", 0)
  end

  def connect(server)
    return UNIXSocket.new(server.path) if server.is_a?(UNIXServer)

    TCPSocket.new("127.0.0.1", server.local_address.ip_port)
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # The block begins several sleeps, and gives a Proc that awaits them. Whoever is held up between the first and the last has
  # to see them end in another order, so that is done until no more than so many seconds lie between.
  def begun_together(seconds)
    loop do
      begun = now
      await = yield
      prompt = now - begun < seconds
      result = await.call
      return result if prompt
    end
  end

  # What is written to $stderr meanwhile.
  def stderr_of
    before = $stderr
    $stderr = StringIO.new
    yield
    $stderr.string
  ensure
    $stderr = before
  end

  # How many there are. What was garbage when they were counted may be gone when they are counted again, so the test of a
  # leak is that there are no more of them.
  def descriptors
    Dir.children("/proc/self/fd").size
  end

  # Waits for something that another thread, process or fiber brings about; not for a fiber of the caller's thread.
  def eventually
    200.times do
      return if yield

      Kernel.sleep 0.05
    end
    flunk "it never came about"
  end

  private

  def kill_group(group)
    Process.kill(:KILL, -group)
  rescue Errno::ESRCH
    nil
  end

  def outcome
    before = assertions
    yield
    [assertions - before, nil, nil, nil]
  rescue Minitest::Skip, Minitest::Assertion => e
    [assertions - before, e.class.name, e.message, e.backtrace]
  rescue Exception => e # rubocop:disable Lint/RescueException
    [assertions - before, "Minitest::Assertion", "#{e.class}: #{e.message}", e.backtrace]
  end

  def accept(count, failure, message, backtrace)
    self.assertions += count
    return unless failure

    raise Object.const_get(failure), "#{message}\n    #{backtrace.to_a.first(12).join("\n    ")}"
  end
end

class NyarioTest < Minitest::Test
  include Helper
end
