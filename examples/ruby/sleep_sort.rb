# frozen_string_literal: true

# Sorts the numbers of the command line: a fiber for each sleeps that many hundredths of a second, all of them at once.

require "nyario"

Fiber.set_scheduler(Nyario::Scheduler.new)

ARGV.each do |number|
  Fiber.schedule do
    sleep(Float(number) / 100)
    puts number
  end
end
