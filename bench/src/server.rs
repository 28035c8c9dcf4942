//! The servers that are compared, and how one is started and stopped.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::cores;
use crate::wire::Workload;

const LISTEN_PATIENCE: Duration = Duration::from_secs(10);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The name of the row that all others are divided by.
pub const FLOOR: &str = "floor epoll";

/// The row of [`ruby_rows`] that nyario is to beat.
pub const PEER: &str = "async";

/// A row of the table.
pub struct Row {
    /// What the table calls it.
    pub name: &'static str,
    /// The file without which there is nothing to run.
    pub file: PathBuf,
    /// What Debian calls the package without which that file is not there.
    pub package: Option<&'static str>,
    command: Vec<String>,
    backend: Option<&'static str>,
}

impl Row {
    /// What is run.
    pub fn program(&self) -> &str {
        &self.command[0]
    }

    /// Whether it runs on nyario.
    pub fn is_nyario(&self) -> bool {
        self.backend.is_some()
    }

    /// A server that is started by `command`, which is followed by the address.
    pub(crate) fn new(name: &'static str, file: impl Into<PathBuf>, command: Vec<String>) -> Self {
        Row { name, file: file.into(), package: None, command, backend: None }
    }

    /// The same on nyario, over that backend.
    pub(crate) fn over(self, backend: &'static str) -> Self {
        Row { backend: Some(backend), ..self }
    }
}

/// Every server of this tree that can do the work, the floor first.
pub fn rows(workload: Workload) -> Vec<Row> {
    let ruby = |name, backend| {
        let file = format!("examples/ruby/{}.rb", example(workload));
        let command = vec!["ruby".into(), "-Inyario-ruby/lib".into(), file.clone()];
        Row::new(name, file, command).over(backend)
    };
    let mut rows = floors(workload);
    rows.extend(c_rows(workload));
    if workload != Workload::Proxy {
        rows.extend([ruby("nyario Ruby uring", "uring"), ruby("nyario Ruby epoll", "epoll")]);
    }
    rows
}

/// What stands behind every proxy.
pub fn upstream() -> Row {
    floors(Workload::Echo).swap_remove(0)
}

fn example(workload: Workload) -> &'static str {
    match workload {
        Workload::Echo => "echo",
        Workload::Http => "http_hello",
        Workload::Proxy => "proxy",
    }
}

pub(crate) fn floors(workload: Workload) -> Vec<Row> {
    let floor = |name, file: &str| Row::new(name, file, vec![file.into(), workload.to_string()]);
    if workload == Workload::Proxy {
        let file = "target/bench/floor-proxy";
        return vec![Row::new(FLOOR, file, vec![file.into()])];
    }
    vec![
        floor(FLOOR, "target/bench/floor-epoll"),
        floor("floor uring", "target/bench/floor-uring"),
        floor("floor uring single", "target/bench/floor-uring_single"),
    ]
}

pub(crate) fn c_rows(workload: Workload) -> [Row; 2] {
    [("nyario C uring", "uring"), ("nyario C epoll", "epoll")].map(|(name, backend)| {
        let file = format!("target/examples/{}", example(workload));
        Row::new(name, file.clone(), vec![file]).over(backend)
    })
}

/// The servers of Ruby that can do the work, with the floor first: those on nyario, whose library is in `lib`, and their
/// peers. All run under the `ruby` that is found first.
pub fn ruby_rows(workload: Workload, lib: &str) -> Vec<Row> {
    let ruby = |name, file: &str| Row::new(name, file, vec!["ruby".into(), format!("-I{lib}"), file.into()]);
    let peer = |name, file: &str| {
        let mut row = ruby(name, file);
        row.command.push(workload.to_string());
        row
    };
    let on = |backend, row: Row| row.over(backend);
    let native = if workload == Workload::Http { "bench/ruby/native_http.rb" } else { "examples/ruby/echo.rb" };
    let mut rows = floors(workload);
    rows.extend([
        peer(PEER, "bench/ruby/async.rb"),
        on("uring", peer("async on uring", "bench/ruby/async_on_nyario.rb")),
        on("epoll", peer("async on epoll", "bench/ruby/async_on_nyario.rb")),
        peer("threads", "bench/ruby/threads.rb"),
        on("uring", peer("scheduler uring", "bench/ruby/scheduler.rb")),
        on("epoll", peer("scheduler epoll", "bench/ruby/scheduler.rb")),
        on("uring", ruby("native uring", native)),
        on("epoll", ruby("native epoll", native)),
    ]);
    if workload == Workload::Echo {
        let file = "bench/ruby/native_into.rb";
        rows.extend([on("uring", ruby("native into uring", file)), on("epoll", ruby("native into epoll", file))]);
    }
    if workload == Workload::Http {
        rows.extend([peer("async-http", "bench/ruby/async_http.rb"), peer("puma", "bench/ruby/puma.rb")]);
    }
    rows
}

/// A server that runs. It is killed when it is dropped, unless it was stopped before.
pub struct Server {
    child: Child,
    address: Address,
}

impl Server {
    /// Starts the server of `row` on `core`, with `root` as its directory, and waits until it listens.
    pub fn start(row: &Row, root: &Path, core: usize) -> Result<Self, String> {
        Server::start_with(row, &[], root, core)
    }

    /// The same for a proxy before the server at `upstream`.
    pub fn start_before(upstream: &Address, row: &Row, root: &Path, core: usize) -> Result<Self, String> {
        Server::start_with(row, &[upstream.to_string()], root, core)
    }

    fn start_with(row: &Row, more: &[String], root: &Path, core: usize) -> Result<Self, String> {
        let [program, arguments @ ..] = row.command.as_slice() else {
            unreachable!("a command has a program");
        };
        let mut command = Command::new(program);
        command.args(arguments).args(more).arg("127.0.0.1:0").current_dir(root);
        command.envs(row.backend.map(|backend| ("NYARIO_BACKEND", backend)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: between fork and exec only what is safe in a signal handler may be done. The closure
        // makes two system calls and allocates nothing.
        unsafe { command.pre_exec(move || cores::pin(core).and_then(|()| die_with_parent())) };
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let stdout = child.stdout.take().expect("the output is piped");
        // The server is guarded before anything can fail, so that no way out leaves it behind.
        let mut server = Server { child, address: Address::Unix(PathBuf::new()) };
        server.address = listening(stdout)?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and holds that it does so in time and with status 0.
    pub fn stop(mut self) -> Result<(), String> {
        let wait = |error: io::Error| error.to_string();
        if let Some(status) = self.child.try_wait().map_err(wait)? {
            return Err(format!("the server ended by itself: {status}"));
        }
        // SAFETY: the call takes no pointer; the child is not reaped yet, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait().map_err(wait)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("SIGTERM did not end the server well: {status}")),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(format!("SIGTERM did not end the server within {} s", STOP_PATIENCE.as_secs()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where the child is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line `listening on ADDRESS`. The thread that waits for it then goes on reading, so
/// that a server which prints more never blocks.
fn listening(stdout: ChildStdout) -> Result<Address, String> {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("listening on ") {
                // Nobody waits for a second one.
                let _ = found.send(address.parse());
            }
        }
    });
    address.recv_timeout(LISTEN_PATIENCE).map_err(|_| "the server did not print `listening on ADDRESS`")?
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: with this option the call takes one integer.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server, String> {
        let command = ["sh", "-c", script].map(String::from).to_vec();
        let row = Row::new("a script", "sh", command).over("epoll");
        Server::start(&row, Path::new("/"), cores::usable().unwrap()[0])
    }

    #[test]
    fn a_server_says_where_it_listens_and_ends_when_asked() {
        let server = start(
            "trap 'exit 0' TERM; echo $NYARIO_BACKEND; echo listening on 127.0.0.1:0; \
             while :; do sleep 0.01; done",
        )
        .unwrap();
        assert_eq!(server.address().to_string(), "127.0.0.1:0");
        server.stop().unwrap();
    }

    #[test]
    fn a_proxy_is_told_first_what_it_stands_before() {
        let script = "trap 'exit 0' TERM; echo listening on $0; while :; do sleep 0.01; done";
        let row = Row::new("a proxy", "sh", ["sh", "-c", script].map(String::from).to_vec());
        let upstream = "127.0.0.1:7".parse().unwrap();
        let server = Server::start_before(&upstream, &row, Path::new("/"), cores::usable().unwrap()[0]).unwrap();
        assert_eq!(server.address(), &upstream);
        server.stop().unwrap();
    }

    #[test]
    fn a_server_that_ends_badly_is_told_apart() {
        let stop = |script| start(script).unwrap().stop().unwrap_err();
        let refusal = stop("trap 'exit 7' TERM; echo listening on 127.0.0.1:0; while :; do sleep 0.01; done");
        assert!(refusal.contains("did not end the server well: exit status: 7"), "{refusal}");
        let refusal = stop("echo listening on 127.0.0.1:0; exec sleep 9");
        assert!(refusal.contains("signal: 15"), "{refusal}");
    }

    #[test]
    fn a_server_that_never_listens_is_an_error() {
        assert!(start("echo hello").is_err_and(|why| why.contains("did not print")));
        assert!(start("echo listening on 10.0.0.1:80").is_err_and(|why| why.contains("loopback")));
    }
}
