# frozen_string_literal: true

require "English"
require_relative "helper"
require_relative "services"

# Examples that are clients of real servers, which are started for them.
class TestServices < ExampleTest
  def say(name, *arguments)
    said = patiently { IO.popen([*Example.ruby(name), *arguments], err: %i[child out], &:readlines) }
    assert_predicate $CHILD_STATUS, :success?, said.join
    said.map(&:chomp)
  end

  def test_postgres_answers_a_hundred_fibers
    skip "there is no Postgres here, or no gem pg" unless Services.postgres?

    Services.postgres do |database|
      assert_equal((1..100).map { |number| "#{number}: #{number * number}" }, say(:pg, database))
    end
  end

  def test_workers_share_the_jobs_of_redis
    skip "there is no Redis here, or no gem redis" unless Services.redis?

    Services.redis do |port|
      said = say(:redis, "redis://127.0.0.1:#{port}")
      done, home = said.partition { |line| line.include?("does job") }
      assert_equal (0...20).to_a, done.map { |line| line[/\d+\z/].to_i }.sort
      assert_equal %w[0 1 2 3], done.map { |line| line[/worker (\d)/, 1] }.uniq.sort
      assert_equal Array.new(4) { |worker| "worker #{worker} goes home" }, home.sort
    end
  end
end
