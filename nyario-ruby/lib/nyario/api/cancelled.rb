# frozen_string_literal: true

module Nyario
  # What {Task#cancel} raises in a task. No StandardError, so that `rescue => error` lets it pass.
  class Cancelled < Exception
  end
end
