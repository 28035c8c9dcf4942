# frozen_string_literal: true

require "etc"
require "fileutils"
require "open3"
require "socket"
require "tmpdir"

# Real servers, each for the time of a block and in a folder of its own, which nobody else uses.
module Services
  PATIENCE = 30

  # Yields what PG.connect takes.
  def self.postgres
    programs = Dir["/usr/lib/postgresql/*/bin"].max_by { |folder| folder[/\d+/].to_i }
    raise "there is no Postgres here: scripts/setup installs it" unless programs

    Dir.mktmpdir("nyario-postgres") do |folder|
      # It refuses to be root.
      as = []
      if Process.uid.zero?
        as = %w[runuser -u postgres --]
        FileUtils.chown("postgres", nil, folder)
      end
      data = "#{folder}/data"
      said, status = Open3.capture2e(*as, "#{programs}/initdb", "--no-sync", "--locale=C", "--encoding=UTF8", "--auth=trust",
                                     "--username=postgres", "--pgdata=#{data}", chdir: "/")
      raise "initdb fails: #{said}" unless status.success?

      running([*as, "#{programs}/postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
              folder, -> { UNIXSocket.new("#{folder}/.s.PGSQL.5432").close; File.read("#{folder}/log").include?("ready to accept") }) do
        yield "host=#{folder} user=postgres dbname=postgres"
      end
    end
  end

  # Yields the port on the loopback.
  def self.redis(clients: 1000)
    Dir.mktmpdir("nyario-redis") do |folder|
      port = TCPServer.open("127.0.0.1", 0) { |server| server.local_address.ip_port }
      command = %W[redis-server --bind 127.0.0.1 --port #{port} --dir #{folder} --save #{""} --appendonly no
                   --maxclients #{clients + 10} --tcp-backlog #{clients}]
      running(command, folder, -> { TCPSocket.new("127.0.0.1", port).close; true }) { yield port }
    end
  end

  # Runs a command while the block runs, which begins once the server answers.
  def self.running(command, folder, answers)
    log = "#{folder}/log"
    pid = Process.spawn(*command, in: File::NULL, %i[out err] => log, chdir: "/")
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    until answers?(answers)
      late = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun > PATIENCE
      raise "#{command.join(" ")} does not begin: #{File.read(log)}" if late || Process.wait(pid, Process::WNOHANG)

      sleep(0.02)
    end
    yield
  ensure
    stop(pid) if pid
  end

  def self.answers?(answers)
    answers.call
  rescue SystemCallError
    false
  end

  # An interrupt ends both at once, whoever is connected; runuser hands on the other.
  def self.stop(pid)
    Process.kill(:INT, pid)
    Process.wait(pid)
  rescue Errno::ESRCH, Errno::ECHILD
    nil
  end
  private_class_method :running, :answers?, :stop
end
