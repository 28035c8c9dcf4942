# frozen_string_literal: true

require "nyario"

# Plain Ruby, many times at once on the loop of one thread, and how long that takes.
module Demonstration
  Process.setrlimit(:NOFILE, Process.getrlimit(:NOFILE).last)

  # Runs the block so many times, each on a fiber of its own, and prints a row: what it is, how many, the sum of what they
  # took, the longest of them, what it took to run them all, and the threads that this needed. What they share is lent to
  # one at a time; waiting for it counts for all of them, and for none alone.
  def self.run(what, count, shared = nil)
    took = []
    before = threads
    most = before
    begun = now
    Fiber.set_scheduler(Nyario::Scheduler.new)
    count.times do |number|
      Fiber.schedule do
        lent = shared&.pop
        mine = now
        yield number, lent
        took << now - mine
        shared&.push(lent)
        most = [most, threads].max if (took.size % 10).zero?
      end
    end
    Fiber.set_scheduler(nil)
    wall = now - begun
    abort "#{what}: #{count - took.size} of #{count} failed" unless took.size == count
    puts format("%-48s %6d %10.2f %9.2f %9.2f %8d", what, count, took.sum, took.max, wall, 1 + most - before)
  end

  def self.heading
    format("%-48s %6s %10s %9s %9s %8s", "what", "times", "sum, s", "longest", "wall, s", "threads")
  end

  def self.now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # Those that the kernel works with on behalf of io_uring are not the program's.
  def self.threads
    Dir["/proc/self/task/*/comm"].count { |file| !File.read(file).start_with?("iou-") }
  rescue SystemCallError
    retry
  end
end
