# frozen_string_literal: true

# Ten children that sleep for a second, at once.

require_relative "demonstration"

Demonstration.run('system("sleep 1")', 10) { system("sleep 1") or raise "it fails" }
