# frozen_string_literal: true

# An HTTP/1.1 server that says hello: parses each request head, keeps connections alive, answers pipelined requests in
# one write, and refuses what it does not understand.

require_relative "example"

# One connection: bytes in, answers out.
class Conversation
  HEAD_MAX = 8192
  HELLO = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
  GOODBYE = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\n" \
            "Hello, world\n"
  REFUSALS = {
    400 => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    431 => "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    501 => "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
  }.freeze
  REQUEST_LINE = %r{\A[^ \r\n:]+ [^ \r\n]+ HTTP/1\.([0-9])\r\n}
  # Of all headers only these matter here; the rest are looked at no further than their shape.
  RELEVANT = /^(connection|content-length|transfer-encoding):[ \t]*([^\r\n]*?)[ \t]*\r$/i
  MALFORMED = /^(?::|[^:\r\n]*\r$)/

  def initialize(connection)
    @connection = connection
    @input = +""
    @body = 0
  end

  def run
    while (data = @connection.read)
      # Most often a read brings one whole request.
      @input.empty? ? @input = data : @input << data
      answers = +""
      open = answer(answers)
      @connection.write(answers) unless answers.empty?
      break unless open
    end
  end

  private

  # Answers every whole request in the input; false when the connection is to end.
  def answer(answers)
    loop do
      skip_body
      finish = @input.index("\r\n\r\n")
      return @input.bytesize < HEAD_MAX || refuse(answers, 431) unless finish

      head = @input.slice!(0, finish + 4)
      keep = answer_one(head, answers)
      return false unless keep
    end
  end

  # The body of the request before is of no interest.
  def skip_body
    return if @body.zero?

    @body -= @input.slice!(0, @body).bytesize
  end

  def answer_one(head, answers)
    line = REQUEST_LINE.match(head)
    return refuse(answers, 400) unless line

    keep = line[1] != "0"
    headers = line.post_match
    return refuse(answers, 400) if headers.delete_suffix("\r\n").match?(MALFORMED)

    headers.scan(RELEVANT) do |name, value|
      case name.downcase
      when "connection"
        keep = value.casecmp?("keep-alive") || (keep && !value.casecmp?("close"))
      when "content-length"
        return refuse(answers, 400) unless value.match?(/\A[0-9]{1,9}\z/)

        @body = value.to_i
      else
        return refuse(answers, 501)
      end
    end
    answers << (keep ? HELLO : GOODBYE)
    keep
  end

  def refuse(answers, status)
    answers << REFUSALS.fetch(status)
    false
  end
end

Example.serve { |connection| Conversation.new(connection).run }
