# frozen_string_literal: true

require "helper"

class TestFork < NyarioTest
  def echo(server, text)
    peer = connect(server)
    peer.write(text)
    peer.close_write
    peer.read
  ensure
    peer.close
  end

  def test_before_the_loop
    isolated do
      server = listener
      2.times do |n|
        child = fork do
          Nyario.register(server) { |connection| connection.write("#{n}:#{connection.read}") }
          trap(:TERM) { Nyario.stop }
          Nyario.loop
          exit!(7)
        end
        assert_equal "#{n}:x", echo(server, "x")
        Process.kill(:TERM, child)
        assert_equal 7, Process.wait2(child)[1].exitstatus
      end
    end
  end

  def test_after_registering
    isolated do
      server = listener
      Nyario.register(server) { |connection| connection.write("parent #{connection.read}") }
      # The child starts afresh: what its parent registered is not its.
      child = fork do
        Nyario.loop
        inner = listener
        value = serving(->(c) { c.write(c.read) }, inner) { echo(inner, "child") }
        exit!(value == "child" ? 7 : 1)
      end
      assert_equal 7, Process.wait2(child)[1].exitstatus
      client = Thread.new { echo(server, "x").tap { Nyario.stop } }
      Nyario.loop
      assert_equal "parent x", client.value
    end
  end

  def test_in_a_handler
    isolated do
      handler = lambda do |connection|
        text = connection.read
        child = fork do
          # No loop drives this fiber in here, so waiting blocks.
          reader, writer = IO.pipe
          Nyario.write(writer, "ok")
          ok = Nyario.read(reader) == "ok" && connection.closed?
          Nyario.sleep(0.01)
          value = Nyario.spawn { Nyario.sleep(0.01) || 5 }.tap { Nyario.loop }.value
          exit!(ok && value == 5 ? 7 : 1)
        end
        status = Process.wait2(child)[1].exitstatus
        Nyario.sleep(0.01)
        connection.write("#{text} #{status}")
      end
      serving(handler) do |server|
        3.times { |n| assert_equal "#{n} 7", echo(server, n.to_s) }
        # The child holds the connection's descriptor no longer than it lives.
        assert_equal "end 7", echo(server, "end")
      end
    end
  end

  def test_a_child_that_goes_on_with_the_handler
    isolated do
      trouble = nil
      parent = Process.pid
      handler = lambda do |connection|
        connection.read
        child = fork
        next connection.write(Process.wait2(child)[1].exitstatus.to_s) if child

        assert_raises(IOError) { connection.write("not mine") }
      end
      begin
        serving(handler) { |server| 3.times { assert_equal "9", echo(server, "x") } }
      rescue RuntimeError => e
        raise if Process.pid == parent

        trouble = e
      end
      # In the child the loop ends, as it is the parent's.
      exit!(trouble&.message&.include?("parent") ? 9 : 1) unless Process.pid == parent
    end
  end

  def test_a_child_that_exits_out_of_a_handler
    isolated do
      parent = Process.pid
      handler = lambda do |connection|
        connection.read
        child = fork
        exit(4) unless child
        connection.write(Process.wait2(child)[1].exitstatus.to_s)
      end
      begin
        serving(handler) { |server| 3.times { assert_equal "4", echo(server, "x") } }
      rescue SystemExit => e
        raise if Process.pid == parent

        exit!(e.status)
      end
      exit!(1) unless Process.pid == parent
    end
  end

  def test_a_child_of_a_task_and_of_an_inner_fiber
    isolated do
      in_loop do
        fiber = Fiber.new do
          child = fork { exit!(Nyario.sleep(0.01).nil? ? 3 : 1) }
          Nyario.sleep(0.01)
          Process.wait2(child)[1].exitstatus
        end
        assert_equal 3, fiber.resume
        assert_equal "out\n", `echo out`
        assert system("true")
      end
    end
  end

  def test_a_childs_stop_is_not_its_parents
    isolated do
      Nyario.register(server = listener) { |connection| connection.write(connection.read) }
      client = Thread.new do
        Process.wait(fork do
          Nyario.stop
          exit!(0)
        end)
        Kernel.sleep 0.1
        echo(server, "still here").tap { Nyario.stop }
      end
      Nyario.loop
      assert_equal "still here", client.value
    end
  end

  def test_descriptors_do_not_survive_an_exec
    isolated do
      in_loop do
        reader, writer = IO.pipe
        Nyario.write(writer, "x")
        Nyario.read(reader)
        Nyario.register(listener) { nil }
        inherited = `ls -l /proc/self/fd`
        refute_match(/io_uring|eventpoll|eventfd|socket/, inherited)
        Nyario.stop
      end
    end
  end
end
