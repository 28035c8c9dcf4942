# frozen_string_literal: true

# A thousand clients of Redis that wait for an element of a list, each on a connection of its own. Half of them get one
# after a second, the time of the others is up after two.

require "redis"
require_relative "demonstration"
require_relative "../../../examples/test/services"

COUNT = 1000

Services.redis(clients: COUNT) do |port|
  Demonstration.run("BLPOP with a time-out of 2 s, half of them empty", COUNT + 1) do |number|
    redis = Redis.new(host: "127.0.0.1", port: port, driver: :ruby)
    if number == COUNT
      sleep(1)
      redis.pipelined { |pipe| (0...COUNT).step(2) { |other| pipe.rpush("list #{other}", other) } }
    else
      popped = redis.blpop("list #{number}", timeout: 2)
      popped == (number.even? ? ["list #{number}", number.to_s] : nil) or raise "#{number} got #{popped.inspect}"
    end
  ensure
    redis.close
  end
end
