# frozen_string_literal: true

require "etc"
require "fileutils"
require "socket"
require "tmpdir"

# Real servers, each for the time of a block and in a folder of its own, which nobody else uses.
module Services
  PATIENCE = 30

  # Whether there is the server and the gem for it; scripts/setup installs both.
  def self.postgres?
    gem?("pg") && !programs.nil?
  end

  def self.redis?
    gem?("redis") && system("redis-server", "--version", out: File::NULL)
  end

  # Yields what PG.connect takes.
  def self.postgres(&block)
    raise "there is no Postgres here: scripts/setup installs it" unless programs

    Dir.mktmpdir("nyario-postgres") do |folder|
      # It refuses to be root.
      user = Etc.getpwnam("postgres") if Process.uid.zero?
      FileUtils.chown(user.uid, user.gid, folder) if user
      data, log = "#{folder}/data", "#{folder}/log"
      made = start(%W[#{programs}/initdb --no-sync --locale=C --encoding=UTF8 --auth=trust --username=postgres --pgdata=#{data}],
                   log, user)
      raise "initdb fails: #{File.read(log)}" unless Process.wait2(made).last.success?

      command = %W[#{programs}/postgres -D #{data} -k #{folder} -c listen_addresses= -c fsync=off]
      answers = -> { system("#{programs}/pg_isready", "--quiet", "--host=#{folder}") }
      running(start(command, log, user), log, answers) { block.call("host=#{folder} user=postgres dbname=postgres") }
    end
  end

  # Yields the port on the loopback.
  def self.redis(clients: 100, &block)
    Dir.mktmpdir("nyario-redis") do |folder|
      port = TCPServer.open("127.0.0.1", 0) { |server| server.local_address.ip_port }
      command = %W[redis-server --bind 127.0.0.1 --port #{port} --dir #{folder} --appendonly no --maxclients #{clients + 10}
                   --tcp-backlog #{clients}]
      log = "#{folder}/log"
      answers = -> { TCPSocket.new("127.0.0.1", port).close || true }
      running(start([*command, "--save", ""], log), log, answers) { block.call(port) }
    end
  end

  # Of the newest Postgres; nil without any.
  def self.programs
    Dir["/usr/lib/postgresql/*/bin"].max_by { |folder| folder[/\d+/].to_i }
  end

  def self.gem?(name)
    Gem::Specification.find_by_name(name)
  rescue Gem::MissingSpecError
    nil
  end

  def self.start(command, log, user = nil)
    fork do
      if user
        Process.initgroups(user.name, user.gid)
        Process::GID.change_privilege(user.gid)
        Process::UID.change_privilege(user.uid)
      end
      exec(*command, in: File::NULL, %i[out err] => [log, "a"], chdir: "/")
    end
  end

  # Runs the block once the server answers, and ends the server then.
  def self.running(pid, log, answers)
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    until answers?(answers)
      late = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun > PATIENCE
      raise "it does not begin: #{File.read(log)}" if late

      sleep(0.02)
    end
    yield
  ensure
    # An interrupt ends both at once, whoever is connected.
    Process.kill(:INT, pid)
    Process.wait(pid)
  end

  def self.answers?(answers)
    answers.call
  rescue SystemCallError
    false
  end
  private_class_method :programs, :gem?, :start, :running, :answers?
end
