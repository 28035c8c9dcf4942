//! Puts load on one server and says how it did.

#![deny(missing_docs)]

use std::process::ExitCode;
use std::time::Duration;

use nyario_bench::address::Address;
use nyario_bench::args::{Args, refuse, status};
use nyario_bench::load::{self, Outcome};
use nyario_bench::plan::{Asked, Plan};
use nyario_bench::process;

const USAGE: &str = "nyario-load HOST:PORT|/PATH [--seconds S] [--warmup S] [--pid SERVER_PID] [--json]";

struct Options {
    address: Address,
    plan: Plan,
    json: bool,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut address = None;
    let mut json = false;
    let mut asked = Asked::default();
    let mut warmup = Duration::from_millis(500);
    let mut seconds = Duration::from_secs(3);
    let mut pid = None;
    while let Some(arg) = args.next() {
        if asked.read(&arg, &mut args)? {
            continue;
        }
        match arg.as_str() {
            "--seconds" => seconds = args.seconds(&arg)?,
            "--warmup" => warmup = args.seconds(&arg)?,
            "--pid" => pid = Some(args.value(&arg)?),
            "--json" => json = true,
            _ if arg.starts_with('-') || address.is_some() => return Err(format!("{arg}?")),
            _ => address = Some(arg.parse()?),
        }
    }
    let plan = Plan { pid, ..asked.plan(warmup, seconds)? };
    Ok(Options { address: address.ok_or("an address is wanted")?, plan, json })
}

fn print(outcome: &Outcome) {
    let micros = |share| outcome.latencies.micros(share);
    println!("messages/s    {:.0}", outcome.rate());
    println!("latency us    p50 {:.1}  p99 {:.1}  p99.9 {:.1}", micros(0.5), micros(0.99), micros(0.999));
    if let Some((cpu, usage)) = outcome.cpu_micros().zip(outcome.server) {
        println!("server CPU    {cpu:.3} us per message");
        println!("server memory {} KiB resident", usage.resident / 1024);
    }
    println!("errors        {}", outcome.errors);
}

fn print_json(outcome: &Outcome) {
    let micros = |share| outcome.latencies.micros(share);
    let (cpu, resident) = match outcome.cpu_micros().zip(outcome.server) {
        Some((cpu, usage)) => (format!("{cpu:.4}"), usage.resident.to_string()),
        None => ("null".into(), "null".into()),
    };
    println!(
        "{{\"seconds\":{:.6},\"messages\":{},\"messages_per_second\":{:.1},\"p50_us\":{:.3},\
         \"p99_us\":{:.3},\"p999_us\":{:.3},\"server_cpu_us_per_message\":{cpu},\
         \"server_resident_bytes\":{resident},\"errors\":{}}}",
        outcome.window.as_secs_f64(),
        outcome.latencies.count(),
        outcome.rate(),
        micros(0.5),
        micros(0.99),
        micros(0.999),
        outcome.errors
    );
}

fn run(options: &Options) -> Result<bool, String> {
    process::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
    let outcome = load::run(&options.address, &options.plan)?;
    if options.json {
        print_json(&outcome);
    } else {
        print(&outcome);
    }
    if let Some(error) = &outcome.first_error {
        eprintln!("{} of {} failed, first {error}", outcome.errors, options.plan.connections);
    }
    Ok(outcome.errors == 0)
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, &format!("{USAGE} {}", Asked::USAGE)),
    };
    status(run(&options).map_err(|error| format!("{}: {error}", options.address)))
}
