# frozen_string_literal: true

# A server of plain sockets on Nyario::Scheduler.

require "nyario"
require_relative "plain"

Fiber.set_scheduler(Nyario::Scheduler.new)
Fiber.schedule do
  server = Plain.listen
  loop do
    connection = server.accept
    Fiber.schedule { Plain.serve(connection) }
  end
end
