# frozen_string_literal: true

# An echo server of async's own kind, whose loop runs on nyario's core. For an application that is there already the two
# lines about nyario become `IO_EVENT_SELECTOR=Nyario ruby -r nyario/async application.rb`.

ENV["IO_EVENT_SELECTOR"] ||= "Nyario"

require_relative "example"
require "nyario/async"
require "async"

def echo(connection)
  loop { connection.write(connection.readpartial(65_536)) }
rescue EOFError, SystemCallError
  # The peer has ended, or is gone.
ensure
  connection.close
end

Sync do |task|
  server = Example.listen(ARGV.fetch(0) { abort "usage: #{$PROGRAM_NAME} ADDRESS" })
  signals = Thread::Queue.new
  %w[INT TERM].each { |signal| trap(signal) { signals << signal } }
  puts "listening on #{Example.name(server)}"
  $stdout.flush
  serving = task.async do |accepting|
    loop do
      connection = server.accept
      accepting.async { echo(connection) }
    end
  end
  signals.pop
  serving.stop
end
