# frozen_string_literal: true

require "open3"
require_relative "helper"

class TestUnix < ExampleTest
  UNIX = "#{Example::ROOT}/target/examples/unix"
  STORY = "This came through a pipe that the other process opened.\n"

  def test_hands_out_descriptors
    Dir.mktmpdir do |folder|
      server = Example.new([UNIX], "#{folder}/socket")
      out, status = patiently { Open3.capture2e(UNIX, server.address, "client") }
      assert_equal [STORY, true], [out, status.success?]

      socket = server.connect
      pipe = patiently { socket.recv_io }
      assert_equal STORY, patiently { pipe.read }
      pipe.close
      socket.close
      server.finish(:TERM)
    ensure
      server&.kill
    end
  end
end
