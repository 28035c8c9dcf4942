# frozen_string_literal: true

# A kitchen: a clock that strikes, an egg that is done, a guest who is late, and a roast that is forgotten in time.

require "nyario"

# A minute of this kitchen.
MINUTE = 0.01

Nyario.run do
  minutes = 0
  # Every minute since the clock was wound, however long the last stroke took.
  clock = Nyario.every(MINUTE) do
    puts "minute #{minutes += 1}"
    clock.cancel if minutes == 6
  end

  # The block runs on a fiber of its own: it may wait like any other.
  Nyario.after(3.5 * MINUTE) do
    puts "the egg is done"
    Nyario.sleep(MINUTE)
    puts "the egg has cooled down"
  end

  roast = Nyario.after(1000 * MINUTE) { puts "the roast is burnt" }
  Nyario.after(5.5 * MINUTE) { puts "the roast is taken out in time" if roast.cancel }

  begin
    Nyario.timeout(2 * MINUTE) { Nyario.sleep(1000 * MINUTE) }
  rescue Nyario::TimeoutError
    puts "the guest is late"
  end

  Nyario.sleep(MINUTE) while clock.active?
  puts "the clock is stopped"
end
