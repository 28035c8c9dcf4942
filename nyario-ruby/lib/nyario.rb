# frozen_string_literal: true

# RubyGems names the library after the gem, and since 3.4.6 after the crate.
begin
  require "nyario.so"
rescue LoadError => error
  # Only a missing file has a path here: a library that is there and does not load must speak for itself.
  raise unless error.path

  require "nyario_ruby.so"
end
