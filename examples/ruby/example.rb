# frozen_string_literal: true

# What the server examples share: an address as the first argument, and a clean end on SIGINT and SIGTERM.

require "nyario"
require "socket"

module Example
  # Serves at the address that the command line names, until a signal ends the loop.
  def self.serve(handler = nil, eager: false, &block)
    address = ARGV.fetch(0) { abort "usage: #{$PROGRAM_NAME} ADDRESS (host:port, or the path of a unix socket)" }
    server = listen(address)
    Nyario.register(server, *handler, eager: eager, &block)
    run(server)
  end

  # Says where it listens, and runs the loop until a signal ends it.
  def self.run(server)
    %w[INT TERM].each { |signal| trap(signal) { Nyario.stop } }
    puts "listening on #{name(server)}"
    $stdout.flush
    Nyario.loop
  end

  def self.listen(address)
    host, colon, port = address.rpartition(":")
    return UNIXServer.new(address) if colon.empty? || address.include?("/")

    TCPServer.new(host.delete("[]"), Integer(port)).tap do |server|
      server.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      server.listen(Socket::SOMAXCONN)
    end
  end

  def self.name(server)
    return server.path if server.is_a?(UNIXServer)

    local = server.local_address
    local.ipv6? ? "[#{local.ip_address}]:#{local.ip_port}" : "#{local.ip_address}:#{local.ip_port}"
  end
end
