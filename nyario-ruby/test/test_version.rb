# frozen_string_literal: true

require "minitest/autorun"
require "nyario"

class TestVersion < Minitest::Test
  def test_is_the_gems
    spec = Gem::Specification.load(File.expand_path("../nyario.gemspec", __dir__))
    assert_equal spec.version.to_s, Nyario::VERSION
  end
end
