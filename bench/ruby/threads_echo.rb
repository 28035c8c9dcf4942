# frozen_string_literal: true

# An echo server of plain sockets, with a thread for each.

require_relative "plain"

server = Plain.listen
loop do
  connection = server.accept
  Thread.new { Plain.echo(connection) }
end
