# frozen_string_literal: true

# The echo of Nyario.register with one String for all that a connection reads, as the servers of plain sockets have it.

require_relative "../../examples/ruby/example"

Example.serve do |connection|
  data = +""
  connection.write(data) while connection.read(65_536, data)
end
