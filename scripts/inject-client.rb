# Talks to an echo server whose system calls are being tampered with. Each connection sends bytes of which each place can
# be told from its neighbours, and insists on having them back in order.
#
#   strict   nothing may be felt: no byte is late for good, no connection breaks
#   nudge    an edge may get lost, so whoever waits in vain sends one byte more, which makes another
#   again    a connection may break, and is then made once more
require "socket"

CONNECTIONS = 24
BYTES = 60_000
ATTEMPTS = 50

host, port, mode = ARGV[0].split(":") + ARGV[1..]

def pattern(from, count) = Array.new(count) { |i| (from + i) * 2_654_435_761 >> 24 & 0xff }.pack("C*")

# One connection's whole conversation; false says that it broke.
def converse(host, port, number, mode)
  socket = TCPSocket.new(host, port)
  socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
  sent = got = 0
  until got >= BYTES
    if sent - got < 4000 && sent < BYTES
      count = 1 + (sent + number) % 3000
      socket.write(pattern(sent, count))
      sent += count
    end
    if socket.wait_readable(mode == "nudge" ? 0.02 : 15)
      bytes = socket.readpartial(65_536)
      abort "connection #{number}: wrong bytes at #{got}" unless bytes == pattern(got, bytes.size)
      got += bytes.size
    elsif mode == "nudge"
      socket.write(pattern(sent, 1))
      sent += 1
    else
      abort "connection #{number}: waits in vain for byte #{got} of #{sent}"
    end
  end
  # A lost edge may be the farewell's, behind which none can come.
  unless mode == "nudge"
    socket.close_write
    rest = socket.read
    abort "connection #{number}: wrong bytes at the end" unless rest == pattern(got, sent - got)
  end
  true
rescue EOFError, Errno::ECONNRESET, Errno::EPIPE
  abort "connection #{number}: broke after #{got} of #{sent} bytes" unless mode == "again"
  false
ensure
  socket&.close
end

threads = Array.new(CONNECTIONS) do |number|
  Thread.new { ATTEMPTS.times.any? { converse(host, port, number, mode) } }
end
# A lost edge may be a listener's, and only another connection makes one.
TCPSocket.new(host, port).close until mode != "nudge" || threads.none? { |thread| thread.join(0.02).nil? }
abort "a connection broke #{ATTEMPTS} times" unless threads.all?(&:value)
