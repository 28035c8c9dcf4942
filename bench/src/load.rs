//! The load generator: one thread that keeps every connection busy and believes no answer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::epoll::{Epoll, Event};
use crate::process::Meter;
use crate::stats::Latencies;
use crate::stream::Stream;
use crate::wire::{Answers, Script, WINDOW, Workload};

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer that is due when the measurement ends may take before its connection counts as
/// forgotten: far longer than any server needs, because it is lost wake-ups that this looks for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// What load to put on a server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the server is asked to do.
    pub workload: Workload,
    /// How many connections there are.
    pub connections: NonZeroUsize,
    /// The size of an echo message.
    pub size: NonZeroUsize,
    /// How many messages of a connection are on their way at once.
    pub pipeline: NonZeroUsize,
    /// How long the server runs under load before the measurement.
    pub warmup: Duration,
    /// How long is measured.
    pub seconds: Duration,
    /// The process whose processor time and memory are wanted.
    pub pid: Option<u32>,
}

/// What a run has shown.
pub struct Outcome {
    /// How long was measured.
    pub window: Duration,
    /// The answers within that time, with how long each took.
    pub latencies: Latencies,
    /// What the server used, where a process was named.
    pub server: Option<Usage>,
    /// How many connections failed.
    pub errors: usize,
    /// What happened to the first of them.
    pub first_error: Option<String>,
}

/// What a server used while it was measured.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Its processor time.
    pub cpu: Duration,
    /// Its resident memory in bytes, at the end.
    pub resident: u64,
}

impl Outcome {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.latencies.count() as f64 / self.window.as_secs_f64()
    }

    /// The server's microseconds of processor time per answer.
    pub fn cpu_micros(&self) -> Option<f64> {
        let usage = self.server?;
        Some(usage.cpu.as_nanos() as f64 / 1e3 / self.latencies.count() as f64)
    }
}

/// Puts load on the server at `address`. An error means that nothing could be measured; connections that
/// fail are counted in the outcome.
pub fn run(address: &Address, plan: &Plan) -> Result<Outcome, String> {
    let io = |error: io::Error| error.to_string();
    let script = match plan.workload {
        Workload::Echo => Script::echo(plan.size.get()),
        Workload::Http => Script::http(address),
    };
    let mut crowd = Crowd::connect(address, plan, &script).map_err(io)?;
    crowd.begin(plan.pipeline.get()).map_err(io)?;
    crowd.drive(plan.warmup, true, &mut Latencies::new()).map_err(io)?;
    if crowd.outstanding == 0 {
        return Err(crowd.first_error.unwrap_or_default());
    }

    let watch = |error| format!("the server's process cannot be watched: {error}");
    let meter = plan.pid.map(Meter::start).transpose().map_err(watch)?;
    let mut latencies = Latencies::new();
    let begun = Instant::now();
    crowd.drive(plan.seconds, true, &mut latencies).map_err(io)?;
    let window = begun.elapsed();
    let usage = |meter: Meter| Ok(Usage { cpu: meter.cpu()?, resident: meter.resident()? });
    let server = meter.map(usage).transpose().map_err(watch)?;

    crowd.drive(ANSWER_PATIENCE, false, &mut Latencies::new()).map_err(io)?;
    crowd.blame_silent();
    if latencies.count() == 0 {
        let why = crowd.first_error.unwrap_or_else(|| "the server is too slow".into());
        return Err(format!("no answer came while it was measured: {why}"));
    }
    Ok(Outcome { window, latencies, server, errors: crowd.errors, first_error: crowd.first_error })
}

struct Connection {
    stream: Stream,
    origin: usize,
    said: usize,
    to_say: usize,
    waits_for_room: bool,
    asked_at: VecDeque<Instant>,
    answers: Answers,
}

impl Connection {
    fn ask(&mut self, script: &Script, messages: usize, now: Instant) -> io::Result<()> {
        self.asked_at.extend(iter::repeat_n(now, messages));
        self.to_say += messages * script.message();
        self.say(script)
    }

    fn say(&mut self, script: &Script) -> io::Result<()> {
        while self.to_say > 0 {
            match self.stream.write(script.at(self.said, self.to_say)) {
                Ok(size) => {
                    self.said += size;
                    self.to_say -= size;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hears what has come, until a short read shows that there is no more; where the connection has
    /// ended, until that shows.
    fn hear(&mut self, script: &Script, ended: bool, window: &mut [u8]) -> Result<usize, String> {
        let mut answers = 0;
        loop {
            match self.stream.read(window) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(size) => {
                    let bytes = &window[..size];
                    answers += self.answers.hear(script, self.origin, self.said, bytes)?;
                    if size < window.len() && !ended {
                        return Ok(answers);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answers),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

struct Crowd<'a> {
    epoll: Epoll,
    script: &'a Script,
    connections: Vec<Option<Connection>>,
    outstanding: usize,
    errors: usize,
    first_error: Option<String>,
    window: Vec<u8>,
}

impl<'a> Crowd<'a> {
    fn connect(address: &Address, plan: &Plan, script: &'a Script) -> io::Result<Self> {
        let count = plan.connections.get();
        let mut crowd = Crowd {
            epoll: Epoll::new(count)?,
            script,
            connections: Vec::with_capacity(count),
            outstanding: 0,
            errors: 0,
            first_error: None,
            window: vec![0; WINDOW],
        };
        for stream in Stream::connect_many(address, count, CONNECT_PATIENCE) {
            let token = crowd.connections.len();
            match stream {
                Ok(stream) => {
                    crowd.epoll.add(&stream, token)?;
                    let origin = token * script.message();
                    crowd.connections.push(Some(Connection {
                        stream,
                        origin,
                        said: origin,
                        to_say: 0,
                        waits_for_room: false,
                        asked_at: VecDeque::with_capacity(plan.pipeline.get()),
                        answers: Answers::new(plan.workload, origin),
                    }));
                }
                Err(error) => crowd.blame(&format!("connecting: {error}")),
            }
        }
        Ok(crowd)
    }

    fn begin(&mut self, pipeline: usize) -> io::Result<()> {
        for token in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[token] {
                self.outstanding += pipeline;
                let asked = connection.ask(self.script, pipeline, Instant::now());
                self.settle(token, asked.map_err(|error| error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Serves the connections for so long, or until no answer is due any more. With `go_on`, each answer
    /// is followed by the next message.
    fn drive(&mut self, time: Duration, go_on: bool, latencies: &mut Latencies) -> io::Result<()> {
        let begun = Instant::now();
        while self.outstanding > 0
            && let Some(left) = time.checked_sub(begun.elapsed())
        {
            for index in 0..self.epoll.wait(left)? {
                let event = self.epoll.event(index);
                let outcome = self.serve(event, go_on, latencies);
                self.settle(event.token, outcome)?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, event: Event, go_on: bool, latencies: &mut Latencies) -> Result<(), String> {
        let Some(connection) = &mut self.connections[event.token] else {
            return Ok(());
        };
        let answers = connection.hear(self.script, event.ended, &mut self.window)?;
        let now = Instant::now();
        for _ in 0..answers {
            let asked_at = connection.asked_at.pop_front().ok_or("an answer came that nobody asked for")?;
            latencies.record(now - asked_at);
            self.outstanding -= 1;
        }
        let next = if go_on { answers } else { 0 };
        self.outstanding += next;
        connection.ask(self.script, next, now).map_err(|error| error.to_string())
    }

    fn settle(&mut self, token: usize, outcome: Result<(), String>) -> io::Result<()> {
        if let Err(error) = outcome {
            self.lose(token, &error);
        } else if let Some(connection) = &mut self.connections[token] {
            let stuck = connection.to_say > 0;
            if stuck != connection.waits_for_room {
                connection.waits_for_room = stuck;
                self.epoll.want_room(&connection.stream, token, stuck)?;
            }
        }
        Ok(())
    }

    fn blame_silent(&mut self) {
        for token in 0..self.connections.len() {
            if self.connections[token].as_ref().is_some_and(|it| !it.asked_at.is_empty()) {
                self.lose(token, &format!("no answer within {} s", ANSWER_PATIENCE.as_secs()));
            }
        }
    }

    fn lose(&mut self, token: usize, error: &str) {
        if let Some(connection) = self.connections[token].take() {
            self.outstanding -= connection.asked_at.len();
            self.blame(&format!("connection {token}: {error}"));
        }
    }

    fn blame(&mut self, error: &str) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.into());
    }
}
