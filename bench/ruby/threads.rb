# frozen_string_literal: true

# A server of plain sockets, with a thread for each.

require_relative "plain"

server = Plain.listen
loop do
  connection = server.accept
  Thread.new { Plain.serve(connection) }
end
