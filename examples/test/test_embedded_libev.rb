# frozen_string_literal: true

require "English"
require_relative "helper"

# nyario's fibers and another loop's watchers on one thread.
class TestEmbeddedLibev < ExampleTest
  def test_both_loops_have_their_turns
    said = patiently { IO.popen(["#{Example::ROOT}/target/examples/embedded_libev"], err: %i[child out], &:read) }
    assert_equal <<~TEXT, said
      echo: message 1
      echo: message 2
      echo: message 3
      a thread posted: hello
      libev's timer has ticked, too
    TEXT
    assert_predicate $CHILD_STATUS, :success?
  end
end
