# frozen_string_literal: true

# puma, with five threads. It would close each connection after so many requests.

require "puma"
require "puma/server"
require_relative "plain"

app = ->(_env) { [200, { "content-type" => "text/plain" }, ["Hello, world\n"]] }
server = Puma::Server.new(app, nil, min_threads: 5, max_threads: 5, max_keep_alive: Float::INFINITY)
host, port = Plain::ADDRESS.split(":")
Plain.announce(server.add_tcp_listener(host, Integer(port), true, Socket::SOMAXCONN))
server.run.join
