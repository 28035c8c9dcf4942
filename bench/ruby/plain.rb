# frozen_string_literal: true

# What the servers of plain Ruby share: the command line, where they listen, what they do with a connection, and their end.

require "socket"
require_relative "hello"

module Plain
  READ_SIZE = 16_384

  WORKLOAD, ADDRESS = ARGV.values_at(0, 1)
  abort "usage: #{$PROGRAM_NAME} echo|http HOST:PORT" unless ADDRESS && %w[echo http].include?(WORKLOAD)

  # What is accepted inherits the option.
  def self.listen
    server = TCPServer.new(*ADDRESS.split(":"))
    server.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    server.listen(Socket::SOMAXCONN)
    announce(server)
    server
  end

  def self.announce(server)
    puts "listening on #{server.local_address.inspect_sockaddr}"
    $stdout.flush
  end

  def self.serve(connection)
    connection.sync = true
    WORKLOAD == "echo" ? echo(connection) : http(connection)
  rescue EOFError, Errno::ECONNRESET, Errno::EPIPE
    # The peer is gone.
  ensure
    connection.close
  end

  # Sends back whatever comes, with one buffer for all of it.
  def self.echo(connection)
    buffer = +""
    loop do
      connection.readpartial(READ_SIZE, buffer)
      connection.write(buffer)
    end
  end

  # Answers every request that a read brings in one write, until something else comes.
  def self.http(connection)
    buffer = +""
    input = +""
    parser = Hello::Parser.new
    loop do
      input << connection.readpartial(READ_SIZE, buffer)
      answers = 0
      while (finish = input.index("\r\n\r\n"))
        return unless parser.parse(input.slice!(0, finish + 4))

        answers += 1
      end
      connection.write(Hello::ANSWER * answers) if answers.positive?
    end
  end

  trap(:TERM) { exit!(0) }
end
