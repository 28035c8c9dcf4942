# frozen_string_literal: true

module Nyario
  # More bytes have come than a read up to a separator may take, and the separator is not among them. They are still there
  # to be read.
  class LimitError < StandardError
  end
end
