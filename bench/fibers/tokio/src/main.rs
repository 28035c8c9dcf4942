//! tokio: tasks of one thread that yield to each other, and ones that are spawned and joined one by one.

use tokio::runtime::Builder;
use tokio::task::{spawn, yield_now};

const SWITCHES: u32 = 4_000_000;
const SPAWNS: u32 = 1_000_000;

fn processor_nanos() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

async fn yields(count: u32) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn switching() {
    let other = spawn(yields(SWITCHES / 2));
    yields(SWITCHES / 2).await;
    other.await.expect("it returns");
}

async fn spawning() {
    for _ in 0..SPAWNS {
        spawn(async {}).await.expect("it returns");
    }
}

fn main() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    // The future that a runtime blocks on is polled in a way of its own, so the measuring is a task too.
    let measured = runtime.spawn(async {
        switching().await;
        let begun = processor_nanos();
        switching().await;
        println!("switch {:.3}", (processor_nanos() - begun) / f64::from(SWITCHES));
        spawning().await;
        let begun = processor_nanos();
        spawning().await;
        println!("spawn {:.3}", (processor_nanos() - begun) / f64::from(SPAWNS));
    });
    runtime.block_on(measured).expect("it returns");
}
