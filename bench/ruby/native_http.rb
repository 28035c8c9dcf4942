# frozen_string_literal: true

# An HTTP server of Nyario.register. Where the peer is gone, its fiber ends.

require_relative "../../examples/ruby/example"
require_relative "hello"

Example.serve do |connection|
  parser = Hello::Parser.new
  while (head = connection.read_until("\r\n\r\n")) && parser.parse(head)
    connection.write(Hello::ANSWER)
  end
end
