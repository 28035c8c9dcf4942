# frozen_string_literal: true

# The same server with nyario under async's loop.

ENV["IO_EVENT_SELECTOR"] = "Nyario"
require "nyario/async"
require_relative "async"
