# frozen_string_literal: true

# Sends back whatever it is sent: each connection is a plain blocking loop on a fiber of its own.

require_relative "example"

Example.serve do |connection|
  while (data = connection.read)
    connection.write(data)
  end
end
