# frozen_string_literal: true

require "helper"
require "open3"

# Processes that are begun in a scheduled fiber.
class TestForkScheduler < NyarioTest
  # Runs the block in a child, begun in a scheduled fiber beside one that waits: the child's status, and what it wrote.
  def child_of_a_fiber
    reader, writer = IO.pipe
    status = beside = nil
    scheduled do
      Fiber.schedule do
        sleep 0.05
        beside = :slept
      end
      Fiber.schedule do
        pid = fork do
          reader.close
          yield writer
        end
        status = Process.wait2(pid)[1]
      end
    end
    writer.close
    assert_equal :slept, beside
    [status.exitstatus, reader.read]
  end

  def test_whatever_a_child_waits_for_it_just_waits
    isolated do
      status, text = child_of_a_fiber do |writer|
        ends = IO.pipe
        thread = Thread.new { sleep 0.01; ends[1] << "x"; :value }
        writer << ends[0].read(1) << thread.value << sleep(0.01).class << `echo out` << system("exit 3").inspect
        writer << Nyario.spawn { sleep 0.001; "task" }.tap { Nyario.loop }.value
        queue = Queue.new
        Thread.new { sleep 0.01; queue << "queue" }
        writer << queue.pop << Timeout.timeout(1) { sleep 0.001; "limit" }
        exit!(9)
      end
      assert_equal [9, "xvalueIntegerout\nfalsetaskqueuelimit"], [status, text]
    end
  end

  def test_a_child_has_no_scheduler_until_it_makes_one
    isolated do
      status, text = child_of_a_fiber do |writer|
        writer << Fiber.scheduler.inspect
        Fiber.set_scheduler(Nyario::Scheduler.new)
        queue = Queue.new
        Fiber.schedule { writer << queue.pop }
        Fiber.schedule { sleep 0.001; queue << 1 }
        Fiber.set_scheduler(nil)
        writer << "end"
        exit!(0)
      end
      assert_equal [0, "nil1end"], [status, text]
    end
  end

  def test_a_child_with_a_scheduler_of_its_own_ends_by_itself
    isolated do
      status, text = child_of_a_fiber do |writer|
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { sleep 0.01; writer << "slept" }
      end
      assert_equal [0, "slept"], [status, text]
    end
  end

  def test_a_child_of_a_child
    isolated do
      status, text = child_of_a_fiber do |writer|
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          inner = fork { writer << "inner"; sleep 0.001; exit!(4) }
          writer << Process.wait2(inner)[1].exitstatus
        end
      end
      assert_equal [0, "inner4"], [status, text]
    end
  end

  def test_a_child_that_becomes_another_program
    isolated do
      status, text = child_of_a_fiber { |writer| exec("echo program; ls -l /proc/self/fd", out: writer, err: writer) }
      assert_equal 0, status
      assert_includes text, "program"
      refute_match(/io_uring|eventpoll|eventfd/, text)
    end
  end

  def test_a_child_that_goes_on_where_its_parent_was
    isolated do
      reader, writer = IO.pipe
      # All that there is in the child is the fiber that forked, and it ends with that.
      middle = fork do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { sleep 0.05; writer << "P" }
        Fiber.schedule do
          child = fork
          sleep 0.01
          writer << (child ? "p" : "c")
          Process.wait(child) if child
        end
        Fiber.set_scheduler(nil)
        writer << "e"
      end
      writer.close
      assert_predicate Process.wait2(middle)[1], :success?
      assert_equal "Pcep", reader.read.chars.sort.join
    end
  end

  def test_a_child_that_raises_or_exits_where_its_parent_was
    isolated do
      reader, writer = IO.pipe
      middle = fork do
        $stderr.reopen(File::NULL)
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule { writer << Process.wait2(fork || exit(5))[1].exitstatus }
        Fiber.schedule { writer << Process.wait2(fork || raise("in the child"))[1].exitstatus }
      end
      writer.close
      assert_predicate Process.wait2(middle)[1], :success?
      assert_equal "15", reader.read.chars.sort.join
    end
  end

  def test_a_daemon
    isolated do
      reader, writer = IO.pipe
      middle = fork do
        Fiber.set_scheduler(Nyario::Scheduler.new)
        Fiber.schedule do
          Process.daemon(true, true)
          sleep 0.01
          Fiber.set_scheduler(Nyario::Scheduler.new)
          Fiber.schedule { sleep 0.01; writer << "served" }
          Fiber.set_scheduler(nil)
          exit!(0)
        end
      end
      writer.close
      Process.wait(middle)
      assert_equal "served", reader.read
    end
  end

  def test_other_programs
    isolated do
      seen = {}
      scheduled do
        Fiber.schedule { seen[:spawn] = Process.wait2(spawn("exit 3"))[1].exitstatus }
        Fiber.schedule { seen[:system] = system("exit 4") || $?.exitstatus }
        Fiber.schedule { seen[:backticks] = `sleep 0.01; echo out` + $?.exitstatus.to_s }
        Fiber.schedule { seen[:popen] = IO.popen(%w[cat], "r+") { |io| io << "in"; io.close_write; io.read } }
        Fiber.schedule { seen[:open3] = Open3.capture3("cat; echo err >&2; exit 5", stdin_data: "in").map(&:to_s) }
        Fiber.schedule { seen[:detach] = Process.detach(spawn("exit 6")).value.exitstatus }
        Fiber.schedule { seen[:waitpid] = Process.waitpid2(spawn("exit 7"), Process::WUNTRACED)[1].exitstatus }
        Fiber.schedule { seen[:nohang] = Process.wait(spawn("exec sleep 60"), Process::WNOHANG).inspect }
      end
      assert_match(/exit 5/, seen[:open3].pop)
      assert_equal({ spawn: 3, system: 4, backticks: "out\n0", popen: "in", open3: %W[in err\n], detach: 6, waitpid: 7,
                     nohang: "nil" }, seen)
    end
  end

  def test_many_children_at_once
    isolated do
      seen = []
      scheduled do
        20.times { |n| Fiber.schedule { seen << Process.wait2(spawn("sleep 0.1; exit #{n}"))[1].exitstatus } }
        Fiber.schedule { 5.times { GC.start; sleep 0.01 } }
      end
      assert_equal [*0...20], seen.sort
    end
  end

  def test_a_worker_forked_in_a_loop_serves
    isolated do
      server = listener
      in_loop do
        worker = fork do
          Nyario.register(server) { |connection| connection.write("worker #{connection.read}") }
          trap(:TERM) { Nyario.stop }
          Nyario.loop
          exit!(7)
        end
        peer = connect(server)
        peer.write("x")
        peer.close_write
        assert_equal "worker x", peer.read
        Process.kill(:TERM, worker)
        assert_equal 7, Process.wait2(worker)[1].exitstatus
      end
    end
  end
end
