# frozen_string_literal: true

require "English"
require "openssl"
require_relative "helper"

# OpenSSL's own sockets on the loop: a server, and a client.
class TestTls < ExampleTest
  def serve
    Dir.mktmpdir do |folder|
      file = "#{folder}/certificate.pem"
      example = Example.new(Example.ruby(:tls_server), "127.0.0.1:0", file)
      yield example, file
      example.finish(:TERM) if example.alive?
    ensure
      example&.kill
    end
  end

  def client(*arguments)
    said = patiently { IO.popen([*Example.ruby(:tls_client), *arguments], err: %i[child out], &:read) }
    [said, $CHILD_STATUS]
  end

  # What the server has not read makes it a reset.
  def ended?(socket)
    socket.read
  rescue Errno::ECONNRESET
    true
  end

  def test_lines_come_back
    serve do |example, file|
      lines = Array.new(50) { |number| "line #{number}" }
      said, status = client(example.address, file, *lines)
      assert_equal lines.sort, said.lines(chomp: true).sort
      assert_predicate status, :success?
    end
  end

  def test_somebody_elses_certificate_is_refused
    serve do |example, _|
      serve do |_, other|
        said, = client(example.address, other, "secret")
        assert_match(/certificate verify failed/, said)
        refute_match(/^secret$/, said)
      end
    end
  end

  def test_who_does_not_speak_tls_disturbs_nobody
    serve do |example, file|
      silent = example.connect
      rude = example.connect
      rude.write("GET / HTTP/1.1\r\n\r\n")
      patiently { ended?(rude) }
      assert_equal "hello\n", client(example.address, file, "hello").first
      [silent, rude].each(&:close)
    end
  end
end
