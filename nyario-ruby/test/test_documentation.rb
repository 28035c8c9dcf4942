# frozen_string_literal: true

require "helper"

class TestDocumentation < Minitest::Test
  API = File.expand_path("../lib/nyario/api.rb", __dir__)

  # What is defined and what is documented are the same.
  def test_each_public_method_is_documented
    defined = { "Nyario" => Nyario.singleton_methods(false).map { |name| "self.#{name}" },
                "Connection" => Nyario::Connection.public_instance_methods(false).map(&:to_s),
                "Task" => Nyario::Task.public_instance_methods(false).map(&:to_s),
                "Scheduler" => Nyario::Scheduler.public_instance_methods(false).map(&:to_s) + later }
    assert_equal defined.transform_values(&:sort), documented.transform_values(&:sort)
  end

  def test_each_tells_since_when
    text = File.read(API)
    assert_equal text.scan("@!method").size, text.scan("@since").size
  end

  private

  # The hooks that this Ruby is too old for.
  def later
    version = RUBY_VERSION.to_f
    { "io_select" => 3.2, "io_write" => 3.3, "io_close" => 4.0 }.filter_map { |name, since| name if version < since }
  end

  def documented
    place = nil
    File.foreach(API).with_object(Hash.new { |hash, name| hash[name] = [] }) do |line, found|
      place = Regexp.last_match(1) if line =~ /^\s*(?:module|class) (\w+)/
      found[place] << Regexp.last_match(1) if line =~ /@!method ([\w.?]+)/
    end
  end
end
