# frozen_string_literal: true

require_relative "helper"

# A server is as well after the tenth run of wrk as after the first.
class TestLoad < Minitest::Test
  Example::COMMANDS.each_key do |language|
    define_method("test_#{language}_http_hello_serves_ten_runs_of_wrk") do
      Example.run(language, :http_hello) do |example|
        10.times do |run|
          report = IO.popen(["wrk", "-t2", "-c100", "-d1", "http://#{example.address}/"], err: %i[child out], &:read)
          assert_match(/^ *[1-9][0-9]* requests in /, report, "run #{run + 1}")
          refute_match(/Socket errors|Non-2xx/, report, "run #{run + 1}")
        end
      end
    end
  end
end
