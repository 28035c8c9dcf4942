# frozen_string_literal: true

# A chat: what one client writes, all the others read. Each client is two fibers: one reads its lines, the other writes
# what its outbox brings. Nobody waits for a slow client: what its outbox has no room for, it misses.

require_relative "example"

class Hall
  ROOM = 64

  def initialize
    @guests = 0
    @outboxes = {}
  end

  def call(connection)
    guest = "guest #{@guests += 1}"
    connection.write("you are #{guest}\n")
    outbox = @outboxes[guest] = SizedQueue.new(ROOM)
    Nyario.spawn { deliver(outbox, connection) }
    say(guest, "hello\n")
    connection.each_line { |line| say(guest, line) }
  ensure
    @outboxes.delete(guest)&.close
    say(guest, "goodbye\n")
  end

  private

  def say(guest, line)
    @outboxes.each do |other, outbox|
      outbox << "#{guest}: #{line}" unless other == guest || outbox.size == ROOM
    end
  end

  def deliver(outbox, connection)
    while (line = outbox.pop)
      connection.write(line)
    end
  end
end

# Eager, as the server speaks first.
Example.serve(Hall.new, eager: true)
