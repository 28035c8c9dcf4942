# frozen_string_literal: true

# async, async-http and falcon on nyario: `IO_EVENT_SELECTOR=Nyario ruby -r nyario/async app.rb`. io-event looks up the
# selector that the variable names among its own.

require "io/event"
require "nyario"

IO::Event::Selector.const_set(:Nyario, Nyario::Selector) unless IO::Event::Selector.const_defined?(:Nyario, false)
