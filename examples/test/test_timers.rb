# frozen_string_literal: true

require "English"
require_relative "helper"

# What is called later. How the lines of different timers mix is the machine's affair; what each timer says is not.
class TestTimers < ExampleTest
  def test_each_calls_as_often_as_it_should
    said = patiently { IO.popen(["#{Example::ROOT}/target/examples/timers"], err: %i[child out], &:readlines) }
    said.map!(&:chomp)
    assert_predicate $CHILD_STATUS, :success?
    clock, rest = said.partition { |line| line.start_with?("minute", "the clock") }
    assert_equal [*(1..6).map { |n| "minute #{n}" }, "the clock is stopped"], clock
    assert_equal ["the egg has cooled down", "the egg is done", "the roast is taken out in time"], rest.sort
    assert_operator rest.index("the egg is done"), :<, rest.index("the egg has cooled down")
  end
end
