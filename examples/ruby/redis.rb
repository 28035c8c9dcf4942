# frozen_string_literal: true

# A queue of jobs in Redis: four workers wait for jobs, each on a fiber and a connection of its own, while one fiber brings
# them. A worker that has heard of nothing for a second goes home. This is the redis gem as it is anywhere.

require "nyario"
require "redis"

WORKERS = 4
JOBS = 20

url = ARGV.fetch(0) { abort "usage: #{$PROGRAM_NAME} URL (redis://127.0.0.1:6379)" }

Fiber.set_scheduler(Nyario::Scheduler.new)

WORKERS.times do |worker|
  Fiber.schedule do
    redis = Redis.new(url: url)
    while (_, job = redis.blpop("jobs", timeout: 1))
      puts "worker #{worker} does job #{job}"
      sleep(rand(0.01..0.1))
    end
    puts "worker #{worker} goes home"
  end
end

Fiber.schedule do
  redis = Redis.new(url: url)
  JOBS.times { |job| redis.rpush("jobs", job) }
end
