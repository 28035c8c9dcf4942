# frozen_string_literal: true

require "minitest/autorun"
require "rbconfig"
require "socket"
require "tempfile"
require "timeout"
require "tmpdir"

# An example at work in a process of its own.
class Example
  ROOT = File.expand_path("../..", __dir__)
  RUBY = [RbConfig.ruby, "-I#{ROOT}/nyario-ruby/lib"].freeze
  # Nothing here takes longer than a moment; whoever takes this long hangs.
  PATIENCE = 30

  # The command of an example in Ruby.
  def self.ruby(name)
    [*RUBY, "#{ROOT}/examples/ruby/#{name}.rb"]
  end

  COMMANDS = {
    c: %i[echo http_hello chat].to_h { |name| [name, ["#{ROOT}/target/examples/#{name}"]] },
    ruby: %i[echo http_hello chat].to_h { |name| [name, ruby(name)] }
  }.freeze

  attr_reader :command, :address, :pid

  # Runs an example while the block does, and ends it. What it wrote to stderr makes the test fail.
  def self.run(language, name, address = "127.0.0.1:0")
    example = new(COMMANDS.dig(language, name), address)
    yield example
    example.finish(:TERM) if example.alive?
  ensure
    example&.kill
  end

  def initialize(command, address, *rest)
    @command = command
    @errors = Tempfile.new("nyario-example")
    @output, writer = IO.pipe
    @pid = Process.spawn(*command, address, *rest, in: File::NULL, out: writer, err: @errors)
    writer.close
    line = Timeout.timeout(PATIENCE, Timeout::Error, "it does not begin to listen") { @output.gets }
    @address = line.to_s[/\Alistening on (.+)\n\z/, 1]
    return if @address

    kill
    raise Minitest::Assertion, "#{command.last} said #{line.inspect} and #{errors.inspect}"
  end

  def alive?
    !@pid.nil?
  end

  # Ends it with a signal, which has to succeed without a word.
  def finish(signal)
    Process.kill(signal, @pid)
    _, status = Timeout.timeout(PATIENCE, Timeout::Error, "SIG#{signal} does not end it") { Process.wait2(@pid) }
    @pid = nil
    rest = @output.read + errors
    return if status.success? && rest.empty?

    raise Minitest::Assertion, "SIG#{signal} ended it with #{status.inspect}, and it said #{rest.inspect}"
  end

  def kill
    return unless @pid

    Process.kill(:KILL, @pid)
    Process.wait(@pid)
    @pid = nil
  end

  # The next line that it says.
  def line
    @output.gets
  end

  # A connection to it.
  def connect
    return UNIXSocket.new(address) if address.include?("/")

    host, port = address.split(":")
    TCPSocket.new(host, port).tap { |socket| socket.setsockopt(:TCP, :NODELAY, true) }
  end

  private

  def errors
    File.read(@errors.path)
  end
end

# A test whose every method runs for each language, over TCP and over a unix socket.
class ExampleTest < Minitest::Test
  def self.each_example(name, *titles, &body)
    Example::COMMANDS.each_key do |language|
      { tcp: ->(_) { "127.0.0.1:0" }, unix: ->(folder) { "#{folder}/socket" } }.each do |family, address|
        define_method("test_#{language}_#{name}_#{family}_#{titles.join('_').tr(' ', '_')}") do
          Dir.mktmpdir do |folder|
            Example.run(language, name, address.call(folder)) { |example| instance_exec(example, &body) }
          end
        end
      end
    end
  end

  # Whatever the block waits for comes, or the test fails instead of hanging.
  def patiently(&block)
    Timeout.timeout(Example::PATIENCE, &block)
  end
end
