# frozen_string_literal: true

# To be required before the tests: each call of nyario's methods that returns is held against its signature, and so is what
# its block was given and returned. What does not agree goes to the file that NYARIO_DISAGREEMENTS names.

require "nyario"
require "rbs"
require "rbs/test"
require "signatures"

RBS.logger_level = "fatal"

# A call that raised says nothing, as tests make such calls with whatever they please.
RBS::Test::Tester::MethodCallTester.prepend(
  Module.new do
    def call(receiver, trace)
      super if trace.method_call.return?
    rescue RBS::Test::Tester::TypeError => error
      File.write(ENV.fetch("NYARIO_DISAGREEMENTS"), "#{error.message}\n", mode: "a")
    end
  end
)

tester = RBS::Test::Tester.new(env: Signatures.environment)
Signatures.modules.each { |type| tester.install!(type, sample_size: 100, unchecked_classes: []) }
