# frozen_string_literal: true

require_relative "helper"

# A server that says how it is.
class TestWatched < ExampleTest
  def watched
    example = Example.new(Example.ruby(:watched), "127.0.0.1:0")
    yield example
  ensure
    # On a busy machine it may have been held up once more, and that is no complaint.
    example&.kill
  end

  def said(example, wanted)
    patiently { nil until example.line.match?(wanted) }
    pass
  end

  def test_it_says_that_it_was_held_up
    watched do |example|
      socket = example.connect
      socket.write("compute\n")
      assert_equal "compute\n", (patiently { socket.gets })
      said(example, /\Aheld up for \d\.\d s\n\z/)
      socket.close
    end
  end

  def test_it_says_what_each_fiber_waits_for
    watched do |example|
      socket = example.connect
      socket.write("hello\n")
      assert_equal "hello\n", (patiently { socket.gets })
      Process.kill(:USR1, example.pid)
      said(example, /name\W+"watch".*waits_for\W+sleep/)
      Process.kill(:USR1, example.pid)
      said(example, /job\W+handler.*waits_for\W+read/)
      socket.close
    end
  end
end
