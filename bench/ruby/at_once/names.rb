# frozen_string_literal: true

# Sixty names looked up at once, each of which the name server thinks about for 0.1 to 0.5 seconds. Both live in a network
# of their own, where the name server is ours.

require "rbconfig"
require "socket"
require "tempfile"
require_relative "demonstration"

# Answers what is asked for an IPv4 address, and has no other.
def serve_names(server)
  Fiber.set_scheduler(Nyario::Scheduler.new)
  Fiber.schedule do
    loop do
      query, (_, port, host) = server.recvfrom(512)
      Fiber.schedule do
        sleep(rand(0.1..0.5))
        question = query.byteslice(12, query.index("\0".b, 12) + 5 - 12)
        address = question.byteslice(-4, 2).unpack1("n") == 1
        record = address ? ["c00c00010001000000000004", 127, 0, 0, 1].pack("H24C4") : ""
        head = query.byteslice(0, 2) + [0x8180, 1, address ? 1 : 0, 0, 0].pack("n5")
        server.send(head + question + record, 0, host, port)
      end
    end
  end
end

def enter_a_network_of_its_own
  as = Process.uid.zero? ? [] : %w[--user --map-root-user]
  flags = %w[--net --mount --kill-child --fork]
  exec("unshare", *as, *flags, RbConfig.ruby, *$LOAD_PATH.map { |folder| "-I#{folder}" }, __FILE__, "inside")
end

enter_a_network_of_its_own unless ARGV == ["inside"]

# The loopback is there, but down: SIOCSIFFLAGS, IFF_UP.
UDPSocket.open { |socket| socket.ioctl(0x8914, ["lo", 1].pack("a16sx14")) }
file = Tempfile.new
file.write("nameserver 127.0.0.1\n")
file.close
system("mount", "--bind", file.path, "/etc/resolv.conf", exception: true)

server = UDPSocket.new
server.bind("127.0.0.1", 53)
pid = fork { serve_names(server) }
begin
  Demonstration.run("names, answered after 0.1 to 0.5 s", 60) do |number|
    found = Addrinfo.getaddrinfo("host-#{number}.example", 80, nil, :STREAM)
    found.map(&:ip_address) == ["127.0.0.1"] or raise "it is found at #{found}"
  end
ensure
  Process.kill(:KILL, pid)
end
