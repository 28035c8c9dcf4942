//! tokio: timers, two tasks that pass a message to and fro, and a runtime that another thread wakes.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::task::spawn;
use tokio::time::sleep;

const TIMERS: u32 = 1_000_000;
const MESSAGES: u32 = 1_000_000;
const BYTES: u32 = 300_000;
const ROOM: usize = 64;
const WAKES: u32 = 3_000;
const TIMER_FIRST: Duration = Duration::from_millis(100);
const TIMER_STEP: Duration = Duration::from_nanos(400);

/// After which a runtime surely sleeps.
const NAP: Duration = Duration::from_micros(100);

fn processor_nanos() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Runs it twice, as the first round warms up. A macro, because a future that runs an `AsyncFnMut` is not known to be `Send`.
macro_rules! measure {
    ($what:literal, $count:expr, $run:expr) => {
        $run.await;
        let begun = processor_nanos();
        $run.await;
        println!("{} {:.3}", $what, (processor_nanos() - begun) / f64::from($count));
    };
}

async fn expiring() {
    let (done, mut all_done) = mpsc::channel::<()>(1);
    for i in 0..TIMERS {
        let done = done.clone();
        spawn(async move {
            sleep(TIMER_FIRST + TIMER_STEP * i).await;
            drop(done);
        });
    }
    drop(done);
    assert!(all_done.recv().await.is_none());
}

/// A timer is armed when it is first polled.
async fn cancelling() {
    for _ in 0..TIMERS {
        let mut timer = pin!(sleep(TIMER_FIRST));
        let armed = poll_fn(|context| Poll::Ready(timer.as_mut().poll(context).is_pending())).await;
        assert!(armed);
    }
}

async fn channels() {
    let (there, mut from_there) = mpsc::channel(1);
    let (back, mut from_back) = mpsc::channel(1);
    spawn(async move {
        while let Some(number) = from_there.recv().await {
            back.send(number).await.expect("it is received");
        }
    });
    for i in 0..MESSAGES / 2 {
        there.send(i).await.expect("it is received");
        from_back.recv().await.expect("it is sent back");
    }
}

/// Passes one byte to and fro; the ends are lent for the time.
async fn descriptors<R, W>(here: &mut (R, W), yonder: &mut Option<(R, W)>)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (mut from, mut to) = yonder.take().expect("the ends came back");
    let other = spawn(async move {
        let mut bytes = [0; ROOM];
        for _ in 0..BYTES / 2 {
            assert_eq!(from.read(&mut bytes).await.expect("a byte"), 1);
            to.write_all(&bytes[..1]).await.expect("room");
        }
        (from, to)
    });
    let mut bytes = [0; ROOM];
    for _ in 0..BYTES / 2 {
        here.1.write_all(&bytes[..1]).await.expect("room");
        assert_eq!(here.0.read(&mut bytes).await.expect("a byte"), 1);
    }
    *yonder = Some(other.await.expect("it returns"));
}

/// A nap is longer than a wake-up takes, so no two of them meet.
async fn wake_ups() {
    let (woken, mut latencies) = mpsc::unbounded_channel();
    let runtime = Handle::current();
    let begun = processor_nanos();
    let thread = thread::spawn(move || {
        for _ in 0..WAKES {
            thread::sleep(NAP);
            let woken = woken.clone();
            let posted = Instant::now();
            runtime.spawn(async move { woken.send(posted.elapsed()) });
        }
    });
    let mut sorted = Vec::new();
    while let Some(latency) = latencies.recv().await {
        sorted.push(latency);
    }
    thread.join().expect("it returns");
    println!("wake_cpu {:.3}", (processor_nanos() - begun) / f64::from(WAKES));
    sorted.sort();
    println!("wake {}", sorted[sorted.len() / 2].as_nanos());
}

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The future that a runtime blocks on is polled in a way of its own, so the measuring is a task too.
    let measured = runtime.spawn(async {
        measure!("expire", TIMERS, expiring());
        measure!("cancel", TIMERS, cancelling());
        measure!("channel", MESSAGES, channels());
        let (here, yonder) = UnixStream::pair().expect("a pair");
        let (mut here, mut yonder) = (here.into_split(), Some(yonder.into_split()));
        measure!("socketpair", BYTES, descriptors(&mut here, &mut yonder));
        let ((to_yonder, from_here), (to_here, from_yonder)) =
            (pipe::pipe().expect("a pipe"), pipe::pipe().expect("a pipe"));
        let (mut here, mut yonder) = ((from_yonder, to_yonder), Some((from_here, to_here)));
        measure!("pipe", BYTES, descriptors(&mut here, &mut yonder));
        wake_ups().await;
    });
    runtime.block_on(measured).expect("it returns");
}
