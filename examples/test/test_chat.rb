# frozen_string_literal: true

require_relative "helper"

# A server whose clients hear each other.
class TestChat < ExampleTest
  def chat(&block)
    Example.run(:c, :chat, &block)
  end

  def line(socket)
    patiently { socket.gets }
  end

  def test_what_one_says_the_others_hear
    chat do |example|
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
      assert_equal ["x" * 400, "x" * 400, "x" * 200], Array.new(3) { line(ann).chomp.delete_prefix("guest 3: ") }
    end
  end

  # The others hear what is said while one reads nothing at all, and the server ends with clients in it.
  def test_nobody_waits_for_a_slow_client
    chat do |example|
      ann = example.connect
      assert_equal "you are guest 1\n", line(ann)
      lazy = example.connect
      assert_equal "guest 2: hello\n", line(ann)
      bob = example.connect
      assert_equal "you are guest 3\n", line(bob)
      assert_equal "guest 3: hello\n", line(ann)
      5000.times do |number|
        ann.write("#{number} #{"-" * 300}\n")
        assert line(bob).start_with?("guest 1: #{number} ")
      end
      assert_equal "you are guest 2\n", line(lazy)
    end
  end
end
