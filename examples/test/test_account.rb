# frozen_string_literal: true

require "English"
require_relative "helper"

# What a lock is for where nobody is interrupted.
class TestAccount < ExampleTest
  def test_payments_are_lost_without_a_lock_only
    said = patiently { IO.popen(["#{Example::ROOT}/target/examples/account"], err: %i[child out], &:read) }
    assert_equal <<~TEXT, said
      without a lock: 20 payments, a balance of 1
      with a lock: 20 payments, a balance of 20
    TEXT
    assert_predicate $CHILD_STATUS, :success?
  end
end
