# frozen_string_literal: true

# An echo of lines over TLS. Nothing here but the loop is nyario's: OpenSSL's own sockets wait on the loop's scheduler.
# The certificate is made at the start, for localhost, and written to the file that the command line names.

require "openssl"
require_relative "example"

def certificate(key)
  OpenSSL::X509::Certificate.new.tap do |made|
    made.version = 2
    made.serial = OpenSSL::BN.rand(64)
    made.subject = made.issuer = OpenSSL::X509::Name.new([%w[CN localhost]])
    made.public_key = key
    made.not_before = Time.now - 60
    made.not_after = Time.now + 86_400
    names = OpenSSL::X509::ExtensionFactory.new(made, made)
    made.add_extension(names.create_extension("subjectAltName", "DNS:localhost"))
    made.sign(key, OpenSSL::Digest.new("SHA256"))
  end
end

def echo(socket)
  socket.accept
  while (line = socket.gets)
    socket.write(line)
  end
rescue OpenSSL::SSL::SSLError
  # Whoever does not speak TLS, or breaks off, is no reason to stop.
ensure
  socket.close
end

address, file = ARGV
abort "usage: #{$PROGRAM_NAME} ADDRESS FILE" unless file

key = OpenSSL::PKey::EC.generate("prime256v1")
context = OpenSSL::SSL::SSLContext.new
context.add_certificate(certificate(key).tap { |made| File.write(file, made.to_pem) }, key)

server = Example.listen(address)
secured = OpenSSL::SSL::SSLServer.new(server, context)
# The handshake waits for the client, so it is for the connection's own fiber.
secured.start_immediately = false
Nyario.spawn do
  loop do
    socket = secured.accept
    Nyario.spawn { echo(socket) }
  end
end
Example.run(server)
