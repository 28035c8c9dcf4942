# frozen_string_literal: true

# A server of plain sockets on async.

require "async"
require_relative "plain"

Async do |task|
  server = Plain.listen
  loop do
    connection = server.accept
    task.async { Plain.serve(connection) }
  end
end
