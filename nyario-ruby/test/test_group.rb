# frozen_string_literal: true

require "helper"

class TestGroup < NyarioTest
  def test_waits_for_its_tasks_and_returns_the_blocks_value
    isolated do
      Nyario.run do
        done = []
        value = Nyario.group do |group|
          5.times { |n| group.spawn { Nyario.sleep(0.005) || done << n } }
          # A task may begin others of the group.
          group.spawn { group.spawn(name: "late") { Nyario.sleep(0.01) || done << :late } }
          :value
        end
        assert_equal :value, value
        assert_equal [0, 1, 2, 3, 4, :late], done
        assert_equal 1, Nyario.group { 1 }
      end
    end
  end

  def test_the_first_failure_cancels_the_others_and_is_raised
    isolated do
      errors = stderr_of do
        Nyario.run do
          ended = []
          error = assert_raises(KeyError) do
            Nyario.group do |group|
              3.times do |n|
                group.spawn do
                  Nyario.sleep(60)
                ensure
                  Nyario.sleep(0.005)
                  ended << n
                end
              end
              group.spawn { Nyario.sleep(0.001) || raise(KeyError, "first") }
              Nyario.sleep(60)
              ended << :never
            end
          end
          assert_equal "first", error.message
          assert_equal [0, 1, 2], ended
        end
      end
      assert_empty errors
    end
  end

  def test_a_failure_while_the_group_waits
    isolated do
      Nyario.run do
        statuses = []
        assert_raises(KeyError) do
          Nyario.group do |group|
            statuses << group.spawn { Nyario.sleep(60) }
            statuses << group.spawn { Nyario.sleep(0.001) || raise(KeyError) }
          end
        end
        assert_equal %i[cancelled failed], statuses.map(&:status)
      end
    end
  end

  def test_a_later_failure_is_reported
    isolated do
      errors = stderr_of do
        Nyario.run do
          assert_raises(KeyError) do
            Nyario.group do |group|
              group.spawn do
                Nyario.sleep(60)
              ensure
                raise IndexError, "the second"
              end
              group.spawn { raise KeyError }
            end
          end
        end
      end
      assert_equal 1, errors.scan("a task failed").size, errors
      assert_match(/the second/, errors)
    end
  end

  def test_leaving_the_block_cancels_and_waits
    isolated do
      Nyario.run do
        ended = []
        begun = lambda do |group|
          group.spawn do
            Nyario.sleep(60)
          ensure
            Nyario.sleep(0.002)
            ended << :task
          end
          Nyario.sleep(0)
          true
        end
        assert_raises(KeyError) { Nyario.group { |group| begun.call(group) && raise(KeyError) } }
        leave_by_return(begun)
        Nyario.group { |group| begun.call(group) && break }
        catch(:out) { Nyario.group { |group| begun.call(group) && throw(:out) } }
        assert_raises(Nyario::TimeoutError) { Nyario.timeout(0.005) { Nyario.group { |group| begun.call(group) } } }
        task = Nyario.spawn { Nyario.group { |group| begun.call(group) } }
        Nyario.sleep(0.001)
        task.cancel
        task.join
        assert_equal :cancelled, task.status
        assert_equal [:task] * 6, ended
      end
    end
  end

  def test_a_second_exception_does_not_keep_it_from_waiting_and_is_not_lost
    isolated do
      Nyario.run do
        ended, ends = [], false
        task = Nyario.spawn do
          begin
            Nyario.timeout(0.002) do
              Nyario.group do |group|
                group.spawn do
                  Nyario.sleep(60)
                ensure
                  ends = true
                  Nyario.sleep(0.03)
                  ended << :child
                end
              end
            end
          rescue Nyario::TimeoutError
            ended << :time_out
          end
          Nyario.sleep(0)
          ended << :never
        end
        Nyario.sleep(0.001) until ends
        task.cancel
        task.join
        assert_equal %i[child time_out], ended
        assert_equal :cancelled, task.status
      end
    end
  end

  def test_a_failure_that_comes_while_the_block_is_left_is_reported_and_not_raised_later
    isolated do
      errors = stderr_of do
        Nyario.run do
          assert_raises(IndexError) do
            Nyario.group do |outer|
              outer.spawn { Nyario.sleep(0.002) || raise(KeyError, "outer") }
              Nyario.group do |inner|
                inner.spawn do
                  Nyario.sleep(60)
                ensure
                  Nyario.sleep(0.01)
                end
                inner.spawn { raise IndexError }
              end
            end
          end
          Nyario.sleep(0)
          # Whoever asks for the value has heard.
          assert_raises(KeyError) { Nyario.group { |group| group.spawn { raise KeyError, "asked" }.value } }
        end
      end
      assert_equal 1, errors.scan("a task failed").size, errors
      assert_match(/outer/, errors)
    end
  end

  def test_a_cancelled_task_is_no_failure
    isolated do
      Nyario.run do
        value = Nyario.group do |group|
          task = group.spawn { Nyario.sleep(60) }
          Nyario.sleep(0)
          task.cancel
          early = group.spawn { raise KeyError }
          early.cancel
          :value
        end
        assert_equal :value, value
      end
    end
  end

  def test_cancel_ends_what_is_no_longer_wanted
    isolated do
      Nyario.run do
        winner = nil
        Nyario.group do |group|
          3.times do |n|
            group.spawn do
              Nyario.sleep(n.zero? ? 0.001 : 60)
              winner = n
              group.cancel
              winner = :never
            end
          end
        end
        assert_equal 0, winner
        Nyario.group do |group|
          group.spawn { Nyario.sleep(60) }
          assert_same group, group.cancel
          assert_equal 2, group.spawn { 2 }.value
        end
      end
    end
  end

  def test_groups_within_groups
    isolated do
      Nyario.run do
        ended = []
        assert_raises(KeyError) do
          Nyario.group do |outer|
            outer.spawn do
              Nyario.group do |inner|
                inner.spawn do
                  Nyario.sleep(60)
                ensure
                  ended << :inner
                end
              end
            ensure
              ended << :middle
            end
            outer.spawn { Nyario.sleep(0.001) || raise(KeyError) }
          end
        end
        assert_equal %i[inner middle], ended
        # What the outer one raises does not end in the inner one.
        assert_raises(IndexError) do
          Nyario.group do |outer|
            outer.spawn { raise IndexError }
            Nyario.group { Nyario.sleep(60) }
          end
        end
      end
    end
  end

  def test_on_scheduled_fibers_and_refused_elsewhere
    isolated do
      Nyario.run { Fiber.schedule { assert_equal 1, Nyario.group { |group| group.spawn { 1 }.value } } }
      ended = nil
      assert_raises(RuntimeError) { Nyario.group { nil } }
      Nyario.run do
        assert_raises(ArgumentError) { Nyario.group }
        assert_raises(TypeError, NoMethodError) { Nyario::Group.new }
        Nyario.group { |group| ended = group }
        assert_raises(RuntimeError) { ended.spawn { nil } }
        Nyario.group { |group| Thread.new { assert_raises(RuntimeError) { group.spawn { nil } } }.join }
      end
    end
  end

  def test_the_end_of_the_loop
    isolated do
      ended = []
      Nyario.run do
        Nyario.group do |group|
          group.spawn do
            Nyario.sleep(60)
          ensure
            ended << :child
          end
          group.spawn { Nyario.stop }
        end
      ensure
        ended << :parent
      end
      assert_equal %i[child parent], ended
    end
  end

  private

  def leave_by_return(begun)
    Nyario.group { |group| begun.call(group) && (return 1) }
  end
end
