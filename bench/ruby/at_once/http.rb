# frozen_string_literal: true

# A thousand requests of Net::HTTP at once, to a server that thinks for 0.1 to 0.5 seconds about each.

require "net/http"
require "socket"
require_relative "demonstration"

COUNT = 1000

server = TCPServer.new("127.0.0.1", 0)
server.listen(Socket::SOMAXCONN)
url = URI("http://127.0.0.1:#{server.local_address.ip_port}/")
pid = fork do
  Nyario.register(server) do |connection|
    connection.read
    Nyario.sleep(rand(0.1..0.5))
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
  end
  trap(:TERM) { Nyario.stop }
  Nyario.loop
end
server.close

begin
  Demonstration.run("Net::HTTP, answers after 0.1 to 0.5 s", COUNT) do
    Net::HTTP.get(url) == "hello" or raise "it does not say hello"
  end
ensure
  Process.kill(:TERM, pid)
  Process.wait(pid)
end
