# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = "nyario"
  # Nyario::VERSION is the crate's version; a second copy here could drift.
  spec.version = File.read(File.join(__dir__, "Cargo.toml"))[/^version = "(.+)"$/, 1]
  spec.summary = "Fibers over io_uring and epoll"
  spec.description = <<~TEXT
    nyario lets code that looks blocking run as fast as an event loop: fibers over io_uring, epoll and kqueue, by
    completion. It brings its own servers, reads and writes, and a Fiber::Scheduler under which unmodified Ruby runs.
  TEXT
  spec.authors = ["The nyario developers"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  # The first RubyGems that builds from a Cargo.toml.
  spec.required_rubygems_version = ">= 3.3.11"
  spec.metadata = { "cargo_crate_name" => "nyario_ruby", "rubygems_mfa_required" => "true" }

  files = ->(*globs) { Dir.glob(globs, base: __dir__).select { |path| File.file?(File.join(__dir__, path)) } }
  spec.files = %w[.yardopts CHANGELOG.md LICENSE-APACHE LICENSE-MIT README.md] | files["lib/**/*.rb", "sig/**/*.{rbs,yaml}"]

  # Those of scripts/gems, which has put the libraries there. The Rubies that come after the last of them get the sources.
  compiled = files["lib/nyario/*/nyario.so"]
  if compiled.any?
    versions = compiled.map { |path| Gem::Version.new("#{path[/\d+\.\d+/]}.0") }
    spec.files |= compiled
    spec.platform = "#{Gem::Platform.local.cpu}-linux"
    spec.required_ruby_version = [">= #{versions.min}", "< #{versions.max.bump}.dev"]
  else
    # At the root of the gem, because RubyGems since 3.4.6 repeats the folder of the Cargo.toml below lib/.
    spec.extensions = ["Cargo.toml"]
    # The core lies behind a symlink, and what lies below a symlink is packaged as real files. Its manifest is named rather
    # than globbed, so that a checkout without symlinks fails here and not on the user's machine.
    spec.files |= %w[Cargo.lock Cargo.toml build.rs nyario-core/Cargo.toml] | files["{src,nyario-core/src}/**/*.rs"]
    # The crates, where scripts/gems has put them: cargo asks nobody else for them then.
    spec.files |= Dir.glob(%w[.cargo/config.toml vendor/**/*], File::FNM_DOTMATCH, base: __dir__)
      .select { |path| File.file?(File.join(__dir__, path)) }
  end
end
