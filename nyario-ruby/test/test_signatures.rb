# frozen_string_literal: true

require "helper"
begin
  require "signatures"
rescue LoadError
  warn "the signatures are not looked at, as there is no rbs"
end

class TestSignatures < NyarioTest
  # The hooks that Ruby has had since then, as their documentation says; an older one does not see them.
  LATER = File.read(File.expand_path("../lib/nyario/api/scheduler.rb", __dir__))
    .scan(/@!method (\w+)(?:(?!@!method).)*?There\s+since\s+Ruby\s+(\d+(?:\.\d+)+)/m).to_h.freeze

  def setup
    skip "there is no rbs" unless defined?(Signatures)
  end

  # What is defined and what is signed are the same.
  def test_each_public_method_is_signed
    Signatures.modules.each do |type|
      assert_equal type.singleton_methods(false).sort - [:allocate], Signatures.singleton(type).keys.sort - [:new], type
      assert_equal defined_in(type), Signatures.instance(type).keys.sort - [:initialize], type
    end
  end

  # A method that takes so many arguments, no fewer and no more, is signed like that.
  def test_each_takes_as_many_arguments_as_it_is_signed_for
    Signatures.modules.each do |type|
      Signatures.singleton(type).each { |name, signed| compare(type.method(name), signed) unless name == :new }
      Signatures.instance(type).each do |name, signed|
        compare(type.instance_method(name), signed) if type.public_method_defined?(name)
      end
    end
  end

  def test_the_constants_are_signed
    (Nyario.constants - Signatures.modules.map { |type| type.name.split("::").last.to_sym }).each do |name|
      constant = RBS::TypeName.new(name: name, namespace: RBS::Namespace.parse("::Nyario"))
      assert Signatures.environment.constant_decls.key?(constant), name
    end
  end

  private

  def defined_in(type)
    found = type.public_instance_methods(false)
    return found.sort unless type == Nyario::Scheduler

    version = Gem::Version.new(RUBY_VERSION)
    (found + LATER.filter_map { |name, since| name.to_sym if version < Gem::Version.new(since) }).sort
  end

  # Natively defined, a method takes exactly so many or says nothing of it. One whose arguments depend on the version of
  # Ruby is signed for each.
  def compare(method, signed)
    return if method.arity.negative?

    fitting = signed.method_types.map(&:type).any? do |function|
      function.required_positionals.size == method.arity && function.optional_positionals.empty? &&
        function.rest_positionals.nil? && function.required_keywords.empty? && function.optional_keywords.empty?
    end
    assert fitting, "#{method.inspect} takes #{method.arity}: #{signed.method_types.join(" | ")}"
  end
end
