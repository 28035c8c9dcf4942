# frozen_string_literal: true

require "helper"
require "net/http"
require "rbconfig"
require "timeout"

# async on Nyario::Selector: what its tasks do every day, and the same on io-event's own selector, whose answers have to
# be the same.
class TestAsync < NyarioTest
  MISSING = begin
    require "nyario/async"
    require "async"
    nil
  rescue LoadError => e
    e.message
  end

  def setup
    skip "async is not installed: #{MISSING}" if MISSING
  end

  # Runs the block in async's loop, on each selector, and compares what it comes to.
  def on_both(expected, &block)
    assert_equal expected, asynchronously("EPoll", &block)
    assert_equal expected, asynchronously("Nyario", &block)
  end

  def asynchronously(selector, &block)
    reader, writer = IO.pipe(binmode: true)
    isolated do
      ENV["IO_EVENT_SELECTOR"] = selector
      reader.close
      selectors = []
      value = Sync do |task|
        selectors << Fiber.scheduler.instance_variable_get(:@selector).class.name
        instance_exec(task, &block)
      end
      assert_equal [selector == "Nyario" ? "Nyario::Selector" : "IO::Event::Selector::#{selector}"], selectors
      writer.write(Marshal.dump(value))
      writer.close
    end
    writer.close
    Marshal.load(reader.read)
  ensure
    [reader, writer].each(&:close)
  end

  def http
    server = listener
    thread = Thread.new do
      while (client = server.accept)
        Thread.new(client) do |connection|
          path = connection.gets[/\S+ (\S+)/, 1]
          nil until connection.gets == "\r\n"
          connection.write("HTTP/1.1 200 OK\r\nContent-Length: #{path.bytesize}\r\nConnection: close\r\n\r\n#{path}")
          connection.close
        end
      end
    end
    yield server.local_address.ip_port
  ensure
    thread&.kill
  end

  def test_it_is_looked_up_by_the_variable
    script = "Async { print Fiber.scheduler.instance_variable_get(:@selector).class }"
    arguments = $LOAD_PATH.flat_map { |path| ["-I", path] } + %w[-W0 -r nyario/async -r async -e] + [script]
    assert_equal "Nyario::Selector", IO.popen([{ "IO_EVENT_SELECTOR" => "Nyario" }, RbConfig.ruby, *arguments], &:read)
    refute_equal "Nyario::Selector", IO.popen([{ "IO_EVENT_SELECTOR" => nil }, RbConfig.ruby, *arguments], &:read)
    assert_equal Nyario::Selector, IO::Event::Selector.default({ "IO_EVENT_SELECTOR" => "Nyario" })
  end

  def test_sleepers_wake_in_their_order
    on_both([0.01, 0.02, 0.03]) do |task|
      begun_together(0.01) do
        order = []
        tasks = [0.03, 0.01, 0.02].map { |time| task.async { sleep(time) && order << time } }
        -> { tasks.each(&:wait) && order }
      end
    end
  end

  def test_an_echo_serves_many
    on_both(Array.new(50) { |index| Array.new(10) { |round| "#{index} #{round}\n" } }) do |task|
      server = listener
      accepting = task.async do
        loop do
          client = server.accept
          task.async do
            while (line = client.gets)
              client.write(line)
            end
            client.close
          end
        end
      end
      answers = Array.new(50) do |index|
        task.async do
          socket = connect(server)
          10.times.map do |round|
            socket.puts("#{index} #{round}")
            socket.gets
          end
        ensure
          socket.close
        end
      end.map(&:wait)
      accepting.stop
      answers
    end
  end

  def test_more_than_a_socket_takes_goes_both_ways
    on_both(true) do |task|
      local, remote = UNIXSocket.pair
      text = "0123456789abcdef" * 100_000
      writing = task.async { local.write(text) && local.close_write }
      echoing = task.async { remote.write(remote.read) && remote.close }
      answer = local.read
      [writing, echoing].each(&:wait)
      answer == text
    end
  end

  def test_net_http_fans_out
    on_both(Array.new(20) { |index| "/#{index}" }) do |task|
      http do |port|
        Array.new(20) { |index| task.async { Net::HTTP.get(URI("http://127.0.0.1:#{port}/#{index}")) } }.map(&:wait)
      end
    end
  end

  def test_queues_mutexes_and_conditions_hand_over
    on_both([0, 0, 1, -1, 2, -2, :signalled]) do |task|
      queue = Async::Queue.new
      plain = Thread::Queue.new
      mutex = Mutex.new
      condition = ConditionVariable.new
      log = []
      consumer = task.async { 3.times { log << queue.dequeue << plain.pop } }
      waiter = task.async { mutex.synchronize { condition.wait(mutex) && log << :signalled } }
      3.times do |index|
        queue.enqueue(index)
        task.yield
        Thread.new { plain << -index }.join
      end
      consumer.wait
      mutex.synchronize { condition.signal }
      waiter.wait
      log
    end
  end

  def test_processes_are_waited_for
    on_both([[0, 1, 2], "any", false, 3]) do |task|
      statuses = Array.new(3) { |index| task.async { Process.wait2(spawn("sleep 0.05; exit #{index}"))[1].exitstatus } }
      any = task.async { `echo any`.chomp }
      [statuses.map(&:wait), any.wait, system("exit 3"), $?.exitstatus]
    end
  end

  def test_timeouts_are_met_where_a_task_waits
    on_both(%w[Async::TimeoutError Timeout::Error IO::TimeoutError nil Async::TimeoutError]) do |task|
      local, _other = UNIXSocket.pair
      local.timeout = 0.02
      [-> { task.with_timeout(0.02) { local.wait_readable } }, -> { Timeout.timeout(0.02) { sleep } },
       -> { local.readpartial(10) }, -> { local.wait_readable(0.02).inspect },
       -> { task.with_timeout(0.02) { Thread::Queue.new.pop } }].map do |call|
        call.call
      rescue StandardError => e
        e.class.name
      end
    end
  end

  def test_a_task_that_is_stopped_leaves_its_wait
    on_both([0, 1, 2, 3, 4, "kept", [:cancelled] * 5]) do |task|
      local, remote = UNIXSocket.pair
      log = []
      waits = [-> { local.readpartial(10) }, -> { sleep }, -> { local.wait_readable },
               -> { Process.wait(spawn("sleep 0.2")) }, -> { Thread::Queue.new.pop }]
      tasks = waits.each_with_index.map do |wait, index|
        task.async do
          wait.call
        ensure
          log << index
        end
      end
      tasks.each(&:stop)
      remote.write("kept")
      log << local.readpartial(10) << tasks.map(&:status)
    end
  end

  def test_the_close_of_an_io_by_another_task_is_no_trap
    asynchronously("Nyario") do |task|
      local, remote = UNIXSocket.pair
      waiting = task.async do
        local.readpartial(10)
      rescue IOError
        :closed
      end
      task.async { local.close }
      assert_includes [:closed], task.with_timeout(5) { waiting.wait }
      remote.close
      nil
    end
  end

  def test_select_and_threads
    on_both([1, 1, "x", :slept]) do |task|
      input, output = IO.pipe
      selecting = task.async { IO.select([input], nil, nil, 5)&.first&.size }
      thread = Thread.new { output.write("x") }
      [selecting.wait, thread.value, input.read_nonblock(5), Thread.new { sleep(0.01) && :slept }.value]
    end
  end

  def test_a_pipe_that_is_only_looked_at
    on_both([:wait_readable, "x", "y"]) do
      input, output = IO.pipe
      looks = [input.read_nonblock(5, exception: false)]
      output.syswrite("x")
      looks << input.read_nonblock(5, exception: false)
      sleep(0.01)
      output.syswrite("y")
      looks << input.read_nonblock(5, exception: false)
    end
  end

  def test_enumerators_and_nested_fibers
    on_both(%w[0 1 2]) do |task|
      local, remote = UNIXSocket.pair
      lines = Enumerator.new do |found|
        while (line = local.gets)
          found << line.chomp
        end
      end
      task.async do
        3.times do |index|
          sleep(0.005)
          remote.puts(index)
        end
        remote.close
      end
      [lines.next, lines.next, Fiber.new { lines.next }.resume]
    end
  end

  def test_an_interrupt_stops_the_tasks
    %w[EPoll Nyario].each do |selector|
      isolated do
        ENV["IO_EVENT_SELECTOR"] = selector
        ended = []
        reader, writer = IO.pipe
        killer = fork do
          writer.close
          reader.read(1)
          sleep(0.1)
          Process.kill(:INT, Process.ppid)
          exit!
        end
        assert_raises(Interrupt) do
          Sync do |task|
            task.async do
              local, _other = UNIXSocket.pair
              local.readpartial(1)
            ensure
              ended << :task
            end
            writer.syswrite("x")
            sleep
          end
        end
        Process.wait(killer)
        assert_equal [:task], ended
      end
    end
  end

  def test_what_ends_a_thread_or_a_process_ends_its_tasks
    on_both([:killed, "odd", 3, :late, Timeout::Error]) do
      log = []
      ready = Thread::Queue.new
      thread = Thread.new do
        Sync do |task|
          task.async do
            local, _other = UNIXSocket.pair
            local.readpartial(1)
          ensure
            log << :killed
          end
          ready << true
          sleep
        end
      end
      ready.pop
      thread.kill.join
      failing = Thread.new do
        Thread.current.report_on_exception = false
        Sync { |task| task.async { sleep(0.01) && raise(Exception, "odd") } && sleep }
      end
      log << assert_raises(Exception) { failing.value }.message
      child = fork { Thread.new { Sync { |task| task.async { sleep(0.01) && exit(3) } && sleep } }.join }
      log << Process.wait2(child)[1].exitstatus
      log << Thread.new do
        Timeout.timeout(1) do
          Sync do |task|
            task.async do
              sleep
            ensure
              log << :late
            end
            sleep
          end
        end
      rescue Timeout::Error => e
        e.class
      end.value
    end
  end

  def test_a_trap_handler_runs_while_the_loop_sleeps
    on_both(:usr1) do |task|
      arrived = Thread::Queue.new
      Signal.trap(:USR1) { arrived << :usr1 }
      waiting = task.async { arrived.pop }
      fork do
        sleep(0.05)
        Process.kill(:USR1, Process.ppid)
        exit!
      end
      value = waiting.wait
      Process.wait
      value
    end
  end

  def test_a_fork_in_a_task_starts_afresh
    on_both([7, :parent]) do |task|
      other = task.async { sleep(0.05) && :parent }
      child = fork do
        exit!(Thread.new { Sync { |inner| inner.async { sleep(0.01) && 7 }.wait } }.value)
      end
      [Process.wait2(child)[1].exitstatus, other.wait]
    end
  end

  def test_nyarios_own_calls_wait_by_the_task
    on_both([:first, "x"]) do |task|
      local, remote = UNIXSocket.pair
      log = []
      reading = task.async { log << Nyario.read(local) }
      log << :first
      Nyario.sleep(0.01)
      Nyario.write(remote, "x")
      reading.wait
      log
    end
  end

  def test_threads_have_a_loop_each
    on_both([0, 1, 2, 3]) do
      Array.new(4) { |index| Thread.new { Sync { |task| task.async { sleep(0.01) && index }.wait } } }.map(&:value)
    end
  end

  def test_many_tasks_under_a_moving_collector
    on_both({ "01234" => 200 }) do |task|
      Helper.move_objects
      sockets = Array.new(200) { UNIXSocket.pair }
      reading = sockets.map { |local, _| task.async { local.read } }
      5.times do |round|
        sockets.each { |_, remote| remote.write(round.to_s) }
        sleep(0.001)
        GC.start
      end
      sockets.each { |_, remote| remote.close }
      reading.map(&:wait).tally
    end
  end

  def test_async_http_serves_and_asks
    begin
      require "async/http"
    rescue LoadError
      skip "async-http is not installed"
    end
    on_both(Array.new(20) { |index| "Hello /#{index}" }) do |task|
      endpoint = Async::HTTP::Endpoint.parse("http://127.0.0.1:0", reuse_port: true)
      bound = endpoint.bound
      port = bound.sockets.first.local_address.ip_port
      app = Protocol::HTTP::Middleware.for { |request| Protocol::HTTP::Response[200, {}, ["Hello #{request.path}"]] }
      serving = task.async { Async::HTTP::Server.new(app, bound, protocol: endpoint.protocol, scheme: "http").run }
      client = Async::HTTP::Client.new(Async::HTTP::Endpoint.parse("http://127.0.0.1:#{port}"))
      answers = Array.new(20) { |index| task.async { client.get("/#{index}").read } }.map(&:wait)
      client.close
      serving.stop
      answers
    end
  end
end
