# frozen_string_literal: true

module Nyario
  # Tasks that end with the block that they were begun in; see {Nyario.group}.
  #
  #   Nyario.group do |group|
  #     urls.each { |url| group.spawn { fetch(url) } }
  #   end # all are fetched, or the first failure is raised
  class Group
    # @!method spawn(name: nil, &block)
    #   As {Nyario.spawn}; a task of the group may do so too. In a group that is being cancelled the task never begins.
    #   @return [Task]
    #   @raise [RuntimeError] when the group has ended, and on another thread
    #   @raise [ArgumentError] without a block
    #   @since 0.1.0

    # @!method cancel
    #   Cancels every task that has not ended, the one that calls last. The block goes on.
    #   @return [Group] itself
    #   @since 0.1.0
  end
end
