# frozen_string_literal: true

# An echo of lines that says how it is: on SIGUSR1 what each of its fibers does, and whenever the loop was held up, for how
# long. A line that asks it to compute shows that.

require_relative "example"

# Says when a sleep takes longer than it should: somebody has blocked the loop for that long.
def watch(pause, allowed)
  loop do
    due = now + pause
    Nyario.sleep(pause)
    late = now - due
    puts format("held up for %.1f s", late) if late > allowed
  end
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def compute(seconds)
  finish = now + seconds
  nil while now < finish
end

asked = Queue.new
trap(:USR1) { asked << true }
$stdout.sync = true

Nyario.spawn(name: "watch") { watch(0.05, 0.1) }
Nyario.spawn(name: "answer") { puts Nyario.fibers while asked.pop }
Example.serve do |connection|
  connection.each_line do |line|
    compute(0.3) if line.start_with?("compute")
    connection.write(line)
  end
end
