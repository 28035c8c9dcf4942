# frozen_string_literal: true

# Fetches every page that the command line names, all of them at once, and says what came as it comes. This is Net::HTTP
# as it is anywhere: on a fiber that the scheduler knows, whatever waits lets the others go on.

require "net/http"
require "nyario"

Fiber.set_scheduler(Nyario::Scheduler.new)

ARGV.each do |url|
  Fiber.schedule do
    page = Net::HTTP.get_response(URI(url))
    puts "#{url}: #{page.code}, #{page.body.bytesize} bytes"
  rescue StandardError => error
    puts "#{url}: #{error.message}"
  end
end
