# frozen_string_literal: true

# A server of several processes: each has a listening socket of its own at the same address, and the kernel spreads the
# connections over them. A process that dies is replaced, and its socket kept meanwhile. On SIGTERM and SIGINT nobody new
# is let in, and whoever is there may finish, but only for so many seconds.

require "timeout"
require_relative "example"

WORKERS = 4
PATIENCE = 10

def listening(address)
  Socket.new(address.afamily, Socket::SOCK_STREAM).tap do |socket|
    socket.setsockopt(:SOCKET, :REUSEADDR, true)
    socket.setsockopt(:SOCKET, :REUSEPORT, true)
    socket.bind(address)
    socket.listen(Socket::SOMAXCONN)
  end
end

# A worker puts its number before each line. Its loop ends once the server is closed and the last handler has returned.
def work(server)
  trap(:INT, :IGNORE)
  trap(:TERM) { server.close }
  Nyario.register(server) do |connection|
    connection.each_line { |line| connection.write(Process.pid.to_s, ": ", line) }
  end
  Nyario.loop
end

address = ARGV.fetch(0) { abort "usage: #{$PROGRAM_NAME} HOST:PORT" }
first = listening(Addrinfo.tcp(*address.split(":")))
sockets = [first] + Array.new(WORKERS - 1) { listening(first.local_address) }
workers = {}
start = lambda do |server|
  # A signal comes before the fork or after the note of it, never between the two.
  Thread.handle_interrupt(SignalException => :never) do
    pid = fork do
      (sockets - [server]).each(&:close)
      Thread.handle_interrupt(SignalException => :immediate) { work(server) }
    end
    workers[pid] = server
  end
end

begin
  puts "listening on #{Example.name(first)}"
  $stdout.flush
  sockets.each(&start)
  loop do
    server = workers.delete(Process.wait)
    sleep(1)
    start.call(server)
  end
rescue SignalException
  sockets.each(&:close)
  workers.each_key { |pid| Process.kill(:TERM, pid) }
  begin
    Timeout.timeout(PATIENCE) { Process.waitall }
  rescue Timeout::Error
    workers.each_key { |pid| Process.kill(:KILL, pid) }
  end
end
