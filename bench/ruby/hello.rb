# frozen_string_literal: true

# What the HTTP servers of Ruby alone share: how the head of a request is parsed, and the answer.

require "strscan"

module Hello
  ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"

  # The parser of one connection.
  class Parser
    REQUEST_LINE = %r{([A-Z]+) ([^ \r\n]+) HTTP/1\.1\r\n}
    HEADER = /([^: \t\r\n]+):[ \t]*([^\r\n]*)\r\n/
    BLANK = /\r\n/

    def initialize
      @text = StringScanner.new("")
    end

    # The method, the target, and the headers by their names in lower case; nothing where it is no head.
    def parse(head)
      @text.string = head
      return unless @text.skip(REQUEST_LINE)

      method = @text[1]
      target = @text[2]
      headers = {}
      headers[@text[1].downcase] = @text[2] while @text.skip(HEADER)
      [method, target, headers] if @text.skip(BLANK) && @text.eos?
    end
  end
end
