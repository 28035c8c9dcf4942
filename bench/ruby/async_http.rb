# frozen_string_literal: true

# The HTTP server of async-http.

require "async/http"
require "io/endpoint/bound_endpoint"
require_relative "plain"

endpoint = Async::HTTP::Endpoint.parse("http://#{Plain::ADDRESS}")
bound = IO::Endpoint::BoundEndpoint.new(endpoint, [Plain.listen])
server = Async::HTTP::Server.for(bound, protocol: endpoint.protocol, scheme: endpoint.scheme) do
  Protocol::HTTP::Response[200, { "content-type" => "text/plain" }, ["Hello, world\n"]]
end
Async { server.run }
