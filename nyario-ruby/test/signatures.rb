# frozen_string_literal: true

require "nyario"
require "pathname"
require "rbs"

# The signatures in sig/, read by RBS, which comes with Ruby.
module Signatures
  def self.environment
    @environment ||= begin
      loader = RBS::EnvironmentLoader.new
      %w[socket timeout].each { |library| loader.add(library: library, version: nil) }
      loader.add(path: Pathname(File.expand_path("../sig", __dir__)))
      RBS::Environment.from_loader(loader).resolve_type_names
    end
  end

  def self.builder
    @builder ||= RBS::DefinitionBuilder.new(env: environment)
  end

  # What has to have signatures.
  def self.modules
    [Nyario] + Nyario.constants.map { |name| Nyario.const_get(name) }.grep(Module)
  end

  def self.name(type)
    RBS::TypeName.new(name: type.name.split("::").last.to_sym,
                      namespace: RBS::Namespace.parse("::#{type.name}").parent)
  end

  # The methods that are signed for the module itself, and not for what it inherits from.
  def self.singleton(type)
    own(type, builder.build_singleton(name(type)))
  end

  def self.instance(type)
    own(type, builder.build_instance(name(type)))
  end

  def self.own(type, definition)
    definition.methods.select { |_, method| method.defined_in == name(type) }
  end
  private_class_method :own
end
