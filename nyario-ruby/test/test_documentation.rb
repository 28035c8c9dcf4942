# frozen_string_literal: true

require "helper"

class TestDocumentation < Minitest::Test
  FILES = Dir[File.expand_path("../lib/nyario/api/*.rb", __dir__)].sort

  # The hooks that Ruby has had since then; an older one is not to see them.
  LATER = { "io_select" => "3.2", "io_pwrite" => "3.2", "io_write" => "3.3.1", "io_close" => "4.0" }.freeze

  # What is defined and what is documented are the same.
  def test_each_public_method_is_documented
    assert_equal defined_methods.transform_values(&:sort), documented.transform_values(&:sort).reject { |_, names| names.empty? }
  end

  def test_each_tells_since_when
    FILES.each do |file|
      text = File.read(file)
      assert_equal text.scan("@!method").size, text.scan("@since").size, file
    end
  end

  private

  def defined_methods
    found = { "Nyario" => singleton(Nyario) }
    classes.each do |name, type|
      found[name] = singleton(type) + type.public_instance_methods(false).map(&:to_s)
    end
    found["Scheduler"] += LATER.filter_map { |name, since| name if Gem::Version.new(RUBY_VERSION) < Gem::Version.new(since) }
    found
  end

  # An exception that adds nothing to its parent needs no methods' documentation.
  def classes
    Nyario.constants.map { |name| [name.to_s, Nyario.const_get(name)] }.select do |_, type|
      type.is_a?(Module) && !(type.is_a?(Class) && type <= Exception)
    end
  end

  def singleton(type)
    (type.singleton_methods(false) - [:allocate]).map { |name| "self.#{name}" }
  end

  def documented
    FILES.each_with_object(Hash.new([].freeze)) do |file, found|
      place = nil
      File.foreach(file) do |line|
        found[place = Regexp.last_match(1)] += [] if line =~ /^\s*(?:module|class) (\w+)/
        found[place] += [Regexp.last_match(1)] if line =~ /@!method ([\w.?!=<]+)/
      end
    end
  end
end
