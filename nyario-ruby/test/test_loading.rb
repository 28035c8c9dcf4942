# frozen_string_literal: true

require "helper"
require "fileutils"
require "open3"
require "rbconfig"

# Which library `require "nyario"` takes. Each test lays a gem out as an installation would, and asks a Ruby of its own.
class TestLoading < NyarioTest
  LIBRARY = $LOADED_FEATURES.grep(%r{/nyario(_ruby)?\.so\z}).first
  VERSION = RUBY_VERSION[/\A\d+\.\d+/]

  def test_the_one_for_this_ruby_comes_first
    laid_out("nyario/#{VERSION}/nyario.so" => LIBRARY, "nyario.so" => __FILE__) do |said, status|
      assert status.success?, said
      assert_match(%r{/nyario/#{VERSION}/nyario\.so$}, said)
    end
  end

  def test_one_for_another_ruby_is_left_alone
    laid_out("nyario/0.1/nyario.so" => __FILE__, "nyario.so" => LIBRARY) do |said, status|
      assert status.success?, said
      assert_match(%r{/lib/nyario\.so$}, said)
    end
  end

  def test_it_may_be_named_after_the_crate
    laid_out("nyario_ruby.so" => LIBRARY) do |said, status|
      assert status.success?, said
      assert_match(%r{/lib/nyario_ruby\.so$}, said)
    end
  end

  # What the linker has against it is of use; another library is not.
  def test_one_that_does_not_load_speaks_for_itself
    places = ["nyario/#{VERSION}/nyario.so", "nyario.so", "nyario_ruby.so"]
    places.each_with_index do |place, index|
      others = places.drop(index + 1).to_h { |other| [other, LIBRARY] }
      laid_out({ place => __FILE__ }.merge(others)) do |said, status|
        refute status.success?, said
        assert_match(%r{/#{place}.*LoadError}, said)
        refute_match(/has no library/, said)
      end
    end
  end

  def test_without_any_it_says_what_to_do
    laid_out("nyario/0.1/nyario.so" => LIBRARY) do |said, status|
      refute status.success?
      assert_includes said, "nyario has no library for Ruby #{RUBY_VERSION} on #{RUBY_PLATFORM}"
      assert_includes said, "gem install nyario --platform ruby"
    end
  end

  private

  def laid_out(libraries)
    Dir.mktmpdir do |folder|
      lib = File.join(folder, "lib")
      FileUtils.mkdir_p(lib)
      FileUtils.cp(File.expand_path("../lib/nyario.rb", __dir__), lib)
      libraries.each do |to, from|
        FileUtils.mkdir_p(File.dirname(File.join(lib, to)))
        FileUtils.cp(from, File.join(lib, to))
      end
      program = 'require "nyario"; puts $LOADED_FEATURES.grep(/nyario.*so$/)'
      yield(*Open3.capture2e(RbConfig.ruby, "--disable-gems", "-I#{lib}", "-e", program))
    end
  end
end
