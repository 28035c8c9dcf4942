//! All connections of the load generator.

use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, Heard};
use crate::address::Address;
use crate::epoll::{Epoll, Event};
use crate::plan::Plan;
use crate::stats::Latencies;
use crate::stream::Stream;
use crate::wire::{Script, WINDOW};

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The connections, each in a place of its own, and what became of those that failed.
pub struct Crowd<'a> {
    epoll: Epoll,
    address: &'a Address,
    plan: &'a Plan,
    script: &'a Script,
    connections: Vec<Option<Connection>>,
    /// How many there have been.
    lives: usize,
    /// How many answers are due.
    pub outstanding: usize,
    /// How many connections failed.
    pub errors: usize,
    /// What happened to the first of them.
    pub first_error: Option<String>,
    window: Vec<u8>,
}

impl<'a> Crowd<'a> {
    /// Connects them all.
    pub fn connect(address: &'a Address, plan: &'a Plan, script: &'a Script) -> io::Result<Self> {
        let count = plan.connections.get();
        let mut crowd = Crowd {
            epoll: Epoll::new(count)?,
            address,
            plan,
            script,
            connections: Vec::with_capacity(count),
            lives: 0,
            outstanding: 0,
            errors: 0,
            first_error: None,
            window: vec![0; WINDOW],
        };
        for stream in Stream::connect_many(address, count, CONNECT_PATIENCE) {
            match stream {
                Ok(stream) => {
                    crowd.connections.push(None);
                    crowd.place(crowd.connections.len() - 1, stream)?;
                }
                Err(error) => crowd.blame(&format!("connecting: {error}")),
            }
        }
        Ok(crowd)
    }

    /// Has every connection send its first messages.
    pub fn begin(&mut self) -> io::Result<()> {
        (0..self.connections.len()).try_for_each(|token| self.ask(token, self.plan.pipeline.get(), Instant::now()))
    }

    /// Serves the connections for so long, or until no answer is due any more. With `go_on`, answers are followed by more
    /// messages.
    pub fn drive(&mut self, time: Duration, go_on: bool, latencies: &mut Latencies) -> io::Result<()> {
        let begun = Instant::now();
        while self.outstanding > 0
            && let Some(left) = time.checked_sub(begun.elapsed())
        {
            for index in 0..self.epoll.wait(left)? {
                let event = self.epoll.event(index);
                match self.serve(event, latencies) {
                    Ok(Some((heard, now))) => self.follow(event.token, &heard, now, go_on)?,
                    Ok(None) => {}
                    Err(error) => self.lose(event.token, &error),
                }
            }
        }
        Ok(())
    }

    /// Loses the connections whose answers have not come within `patience`.
    pub fn blame_silent(&mut self, patience: Duration) {
        for token in 0..self.connections.len() {
            if self.connections[token].as_ref().is_some_and(|it| !it.asked_at.is_empty()) {
                self.lose(token, &format!("no answer within {} s", patience.as_secs()));
            }
        }
    }

    fn serve(&mut self, event: Event, latencies: &mut Latencies) -> Result<Option<(Heard, Instant)>, String> {
        let Some(connection) = &mut self.connections[event.token] else {
            return Ok(None);
        };
        let heard = connection.hear(self.script, event.ended, &mut self.window)?;
        let now = Instant::now();
        for _ in 0..heard.answers {
            let asked_at = connection.asked_at.pop_front().ok_or("an answer came that nobody asked for")?;
            latencies.record(now - asked_at);
            self.outstanding -= 1;
        }
        Ok(Some((heard, now)))
    }

    fn follow(&mut self, token: usize, heard: &Heard, now: Instant, go_on: bool) -> io::Result<()> {
        if heard.over {
            return self.renew(token, now, go_on);
        }
        let due = self.connections[token].as_ref().map_or(0, |connection| connection.asked_at.len());
        let next = if go_on { self.plan.next(heard.answers, due) } else { 0 };
        self.ask(token, next, now)
    }

    /// Closes a connection whose life is over, and begins another one in its place.
    fn renew(&mut self, token: usize, since: Instant, go_on: bool) -> io::Result<()> {
        self.connections[token] = None;
        if !go_on {
            return Ok(());
        }
        match Stream::dial(self.address, self.lives) {
            Ok(stream) => {
                self.place(token, stream)?;
                self.ask(token, 1, since)
            }
            Err(error) => {
                self.blame(&format!("connecting: {error}"));
                Ok(())
            }
        }
    }

    fn place(&mut self, token: usize, stream: Stream) -> io::Result<()> {
        self.epoll.add(&stream, token)?;
        self.connections[token] = Some(Connection::new(stream, self.plan, self.script, self.lives));
        self.lives += 1;
        Ok(())
    }

    fn ask(&mut self, token: usize, messages: usize, since: Instant) -> io::Result<()> {
        let Some(connection) = &mut self.connections[token] else {
            return Ok(());
        };
        self.outstanding += messages;
        if let Err(error) = connection.ask(self.script, messages, since) {
            self.lose(token, &error.to_string());
        } else if connection.is_stuck() != connection.waits_for_room {
            connection.waits_for_room = connection.is_stuck();
            self.epoll.want_room(&connection.stream, token, connection.waits_for_room)?;
        }
        Ok(())
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
