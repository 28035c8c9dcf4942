# frozen_string_literal: true

version = RUBY_VERSION[/\A\d+\.\d+/]
if File.exist?(File.join(__dir__, "nyario", version, "nyario.so"))
  # Of the gem that comes compiled, which has one for each Ruby.
  require_relative "nyario/#{version}/nyario.so"
else
  # RubyGems names the library after the gem, and since 3.4.6 after the crate.
  %w[nyario.so nyario_ruby.so].each do |name|
    require name
    break
  rescue LoadError => error
    # Only a missing file has a path here: a library that is there and does not load must speak for itself.
    raise unless error.path
    next if name == "nyario.so"

    raise LoadError, "nyario has no library for Ruby #{RUBY_VERSION} on #{RUBY_PLATFORM}; " \
                     "`gem install nyario --platform ruby` compiles one"
  end
end
