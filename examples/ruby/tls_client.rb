# frozen_string_literal: true

# Says each line of the command line to a server over TLS, on a connection of its own and all at once, and writes what
# comes back. It trusts the certificate in the file that is named first, and nobody else's.

require "nyario"
require "openssl"
require "socket"

address, file, *lines = ARGV
abort "usage: #{$PROGRAM_NAME} ADDRESS FILE LINE..." if lines.empty?

host, port = address.split(":")
context = OpenSSL::SSL::SSLContext.new
context.set_params(ca_file: file)

Fiber.set_scheduler(Nyario::Scheduler.new)

lines.each do |line|
  Fiber.schedule do
    socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new(host, port), context)
    socket.sync_close = true
    socket.hostname = "localhost"
    socket.connect
    socket.post_connection_check("localhost")
    socket.puts(line)
    puts socket.gets
  ensure
    socket&.close
  end
end
