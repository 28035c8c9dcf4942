# frozen_string_literal: true

# What the servers of plain Ruby share: where they listen, what they do with a connection, and their end.

require "socket"

module Plain
  def self.listen
    server = TCPServer.new(*ARGV.fetch(0).split(":"))
    server.listen(Socket::SOMAXCONN)
    puts "listening on #{server.local_address.inspect_sockaddr}"
    $stdout.flush
    server
  end

  # Sends back whatever comes, with one buffer for all of it.
  def self.echo(connection)
    connection.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    connection.sync = true
    buffer = +""
    loop do
      connection.readpartial(16_384, buffer)
      connection.write(buffer)
    end
  rescue EOFError, Errno::ECONNRESET
    connection.close
  end

  trap(:TERM) { exit!(0) }
end
