# frozen_string_literal: true

module Nyario
  # The time of {Nyario.timeout} or {Nyario.deadline} is up.
  class TimeoutError < Timeout::Error
  end
end
