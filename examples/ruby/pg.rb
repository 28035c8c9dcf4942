# frozen_string_literal: true

# Asks Postgres for the squares of the first hundred numbers, each with a query of its own. Ten connections are shared by a
# hundred fibers: whoever finds none at hand waits for one. This is the pg gem as it is anywhere.

require "nyario"
require "pg"

CONNECTIONS = 10
NUMBERS = (1..100)

database = ARGV.fetch(0) { abort "usage: #{$PROGRAM_NAME} DATABASE (what PG.connect takes: host=/run/postgresql dbname=test)" }
pool = Queue.new
squares = {}

Fiber.set_scheduler(Nyario::Scheduler.new)

CONNECTIONS.times do
  Fiber.schedule { pool << PG.connect(database) }
end

NUMBERS.each do |number|
  Fiber.schedule do
    connection = pool.pop
    # The sleep is Postgres's: it takes a second for ten at a time.
    squares[number] = connection.exec_params("SELECT $1::int * $1::int, pg_sleep(0.1)", [number]).getvalue(0, 0)
  ensure
    pool << connection
  end
end

# Runs them all to their end.
Fiber.set_scheduler(nil)
NUMBERS.each { |number| puts "#{number}: #{squares[number]}" }
