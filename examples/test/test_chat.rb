# frozen_string_literal: true

require_relative "helper"

# A server whose clients hear each other.
class TestChat < ExampleTest
  # The lengths of the parts in which a line of 1,000 is said.
  PARTS = { c: [400, 400, 200], ruby: [1000] }.freeze
  # So many lines to a client that does not read; 15,000 are more than the kernel holds for it.
  LINES = { c: 15_000, ruby: 15_000 }.freeze

  def line(socket)
    patiently { socket.gets }
  end

  PARTS.each do |language, parts|
    define_method("test_#{language}_what_one_says_the_others_hear") do
      Example.run(language, :chat) do |example|
        ann = example.connect
        assert_equal "you are guest 1\n", line(ann)
        bob = example.connect
        assert_equal "you are guest 2\n", line(bob)
        assert_equal "guest 2: hello\n", line(ann)
        cid = example.connect
        assert_equal "you are guest 3\n", line(cid)
        [ann, bob].each { |socket| assert_equal "guest 3: hello\n", line(socket) }
        ann.write("good ", "morning\nyou two\n")
        [bob, cid].each do |socket|
          assert_equal ["guest 1: good morning\n", "guest 1: you two\n"], [line(socket), line(socket)]
        end
        bob.close
        [ann, cid].each { |socket| assert_equal "guest 2: goodbye\n", line(socket) }
        cid.write("x" * 1000, "\n")
        assert_equal(parts.map { |length| "x" * length }, parts.map { line(ann).chomp.delete_prefix("guest 3: ") })
      end
    end

    # The others hear what is said while one reads nothing at all, and the server ends with clients in it.
    define_method("test_#{language}_nobody_waits_for_a_slow_client") do
      Example.run(language, :chat) do |example|
        ann = example.connect
        assert_equal "you are guest 1\n", line(ann)
        lazy = example.connect
        assert_equal "guest 2: hello\n", line(ann)
        bob = example.connect
        assert_equal "you are guest 3\n", line(bob)
        assert_equal "guest 3: hello\n", line(ann)
        LINES.fetch(language).times do |number|
          ann.write("#{number} #{"-" * 380}\n")
          assert line(bob).start_with?("guest 1: #{number} ")
        end
        assert_equal "you are guest 2\n", line(lazy)
      end
    end
  end
end
