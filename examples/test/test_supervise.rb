# frozen_string_literal: true

require_relative "helper"

# A program that waits for children and for signals.
class TestSupervise < ExampleTest
  PATIENT = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"

  def test_ends_are_told_and_signals_passed_on
    output, writer = IO.pipe
    commands = ["exit 3", "kill -9 $$", PATIENT, "exec sleep 1000"]
    pid = Process.spawn("#{Example::ROOT}/target/examples/supervise", *commands, out: writer, err: writer)
    writer.close
    said = Array.new(3) { patiently { output.gets } }
    assert_equal ["exit 3: exit 3\n", "kill -9 $$: killed by signal 9\n", "ready\n"], said.sort
    Process.kill(:TERM, pid)
    assert_equal ["exec sleep 1000: killed by signal 15\n", "#{PATIENT}: exit 7\n"], patiently { output.readlines }.sort
    _, status = Process.wait2(pid)
    pid = nil
    assert_predicate status, :success?
  ensure
    Process.kill(:KILL, pid) && Process.wait(pid) if pid
  end
end
