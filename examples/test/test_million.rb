# frozen_string_literal: true

require "English"
require_relative "helper"

# A great many fibers.
class TestMillion < ExampleTest
  def test_twenty_thousand_of_them
    said = patiently { IO.popen(["#{Example::ROOT}/target/examples/million", "20000"], err: %i[child out], &:read) }
    assert_match(/\A20000 fibers in [\d.]+ s: \d+ bytes resident for each, \d+ MiB at the peak\nevery number came back\n\z/,
                 said)
    assert_predicate $CHILD_STATUS, :success?
  end
end
