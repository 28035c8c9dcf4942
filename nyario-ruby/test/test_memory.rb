# frozen_string_literal: true

require "helper"

class TestMemory < NyarioTest
  ECHO = ->(connection) { connection.write(connection.read) }

  def test_an_idle_connection_costs_less_than_a_kibibyte
    wanted = 10_000
    soft, hard = Process.getrlimit(:NOFILE)
    skip "too few descriptors are allowed" if hard < wanted + 200
    isolated(patience: 120) do
      Process.setrlimit(:NOFILE, [soft, hard].max, hard)
      server_process do |server, path|
        200.times { echo(path) }
        before = [memory(server), data(server)]
        idle = []
        # Ruby takes a socket for connected that found the backlog full, so they come in groups that it has room for.
        while idle.size < wanted
          idle.concat(Array.new(1000) { UNIXSocket.new(path) })
          eventually { Dir.children("/proc/#{server}/fd").size > idle.size }
        end
        each = [memory(server), data(server)].zip(before).map { |after, earlier| (after - earlier) / wanted }
        if ENV["NYARIO_FIGURES"]
          puts "an idle connection costs #{each[0]} bytes of memory (#{each[1]} of address space) on #{Nyario.backend}"
        end
        assert_operator each[0], :<, 1024
        # They are served as soon as they speak.
        idle.each_slice(1000) do |(some, *)|
          some.write("x")
          assert_equal "x", some.read
        end
      end
    end
  end

  def test_connections_that_come_and_go_leave_nothing
    isolated do
      # They come, speak or not, and go in every order; then nothing is left but what the pool may keep.
      serving(ECHO) do |server|
        before = sockets
        20.times { round { connect(server) } }
        eventually { sockets == before }
        GC.start
        fibers = ObjectSpace.each_object(Fiber).count
        100.times { round { connect(server) } }
        eventually { sockets == before }
        GC.start
        assert_operator ObjectSpace.each_object(Fiber).count, :<=, fibers + 5
      end
    end
  end

  def test_memory_does_not_grow_with_traffic
    isolated(patience: 120) do
      server_process do |server, path|
        600.times { round { UNIXSocket.new(path) } }
        before = memory(server)
        9000.times { round { UNIXSocket.new(path) } }
        # Ninety thousand connections: a leak of some 130 bytes in each would show, and what the fibers hold that a server
        # keeps which lags behind, as on a busy machine, some 7 MB, does not.
        assert_operator memory(server) - before, :<, 12_000_000
      end
    end
  end

  private

  SERVER = <<~RUBY
    listener = UNIXServer.new(ARGV[0])
    listener.listen(4096)
    Nyario.register(listener) { |connection| connection.write(connection.read) }
    Nyario.loop
  RUBY

  # Runs an echo server in a process of its own. A forked one would share this one's memory, and pay for it as soon as
  # this one changes it.
  def server_process
    path = "#{Dir.mktmpdir}/socket"
    server = spawn(RbConfig.ruby, *$LOAD_PATH.map { |folder| "-I#{folder}" }, "-rnyario", "-rsocket", "-e", SERVER, path)
    eventually { echo(path) }
    yield server, path
  ensure
    Process.kill(:KILL, server)
    Process.wait(server)
    FileUtils.rm_rf(File.dirname(path))
  end

  # The process's memory in bytes. What it shares with its parent counts, or it would seem to grow with each page that one of
  # the two writes to, by as much as all the tests have loaded.
  def memory(process)
    File.read("/proc/#{process}/smaps_rollup")[/^Rss:\s+(\d+) kB/, 1].to_i * 1024
  end

  def sockets
    Dir.children("/proc/self/fd").count do |number|
      File.readlink("/proc/self/fd/#{number}").start_with?("socket:")
    rescue Errno::ENOENT
      false
    end
  end

  def data(process)
    File.read("/proc/#{process}/status")[/^VmData:\s+(\d+) kB/, 1].to_i * 1024
  end

  def round(&block)
    peers = Array.new(10, &block)
    peers.each_with_index { |peer, n| peer.write("x") if n.even? }
    peers.each_with_index { |peer, n| assert_equal "x", peer.read if n.even? }
    peers.each(&:close)
  end

  def echo(path)
    UNIXSocket.open(path) do |socket|
      socket.write("x")
      socket.read == "x"
    end
  rescue SystemCallError
    false
  end
end
