# frozen_string_literal: true

# A thousand questions to Postgres, each answered after a tenth of a second, over fifty connections: two seconds at best.

require "pg"
require_relative "demonstration"
require_relative "../../../examples/test/services"

Services.postgres do |database|
  pool = Queue.new
  Demonstration.run("PG.connect", 50) { pool << PG.connect(database) }
  Demonstration.run("SELECT pg_sleep(0.1), 50 connections", 1000, pool) do |_, connection|
    connection.exec("SELECT pg_sleep(0.1)").ntuples == 1 or raise "it does not answer"
  end
end
