//! What the command line says.

use nyario_core::driver::BackendKind;
use nyario_sim::program::{Cut, Plan};

/// How the simulation is called.
pub const USAGE: &str =
    "usage: nyario-sim [--seed N] [--ops N] [--backend uring|epoll|kqueue] [--kernel N] [--without PARTS]
  --seed N         the (first) seed; 1 if left out
  --ops N          go on with the seeds that follow until so many operations have ended; one plan if left out
  --backend NAME   the backend; all, one after the other, if left out
  --kernel N       another seed for the kernel's choices, of a single plan
  --without PARTS  leave parts of a single plan out: what a shrunk failure is replayed with";

#[derive(Clone, Debug)]
pub struct Args {
    pub seed: u64,
    pub operations: Option<u64>,
    pub backend: Option<BackendKind>,
    pub kernel: Option<u64>,
    pub without: Vec<Cut>,
    /// It runs plans itself, and ends with the first failure.
    pub worker: bool,
    /// The worker tells all that happens.
    pub journal: bool,
}

impl Args {
    pub fn parse() -> Result<Args, String> {
        let mut args = Args {
            seed: 1,
            operations: None,
            backend: None,
            kernel: None,
            without: Vec::new(),
            worker: false,
            journal: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("'{text}' is no number"));
            match word.as_str() {
                "--seed" => args.seed = number(value()?)?,
                "--ops" => args.operations = Some(number(value()?)?),
                "--kernel" => args.kernel = Some(number(value()?)?),
                "--backend" => args.backend = Some(backend(&value()?)?),
                "--without" => args.without = Cut::read(&value()?)?,
                "--worker" => args.worker = true,
                "--journal" => args.journal = true,
                other => return Err(format!("'{other}' is not understood")),
            }
        }
        Ok(args)
    }

    /// The words that say the same to a worker.
    pub fn words(&self, backend: BackendKind) -> Vec<String> {
        let mut words = vec!["--seed".into(), self.seed.to_string(), "--backend".into(), backend.name().into()];
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.into(), value]);
            }
        };
        option("--ops", self.operations.map(|it| it.to_string()));
        option("--kernel", self.kernel.map(|it| it.to_string()));
        option("--without", (!self.without.is_empty()).then(|| Cut::write(&self.without)));
        words
    }

    /// The plan that a single run is to follow.
    pub fn plan(&self, backend: BackendKind) -> Plan {
        let mut plan = Plan::new(self.seed, backend).without(&self.without);
        plan.kernel_seed = self.kernel.unwrap_or(plan.kernel_seed);
        plan
    }
}

fn backend(name: &str) -> Result<BackendKind, String> {
    let all = [BackendKind::Uring, BackendKind::Epoll, BackendKind::Kqueue];
    all.into_iter().find(|backend| backend.name() == name).ok_or(format!("there is no backend '{name}'"))
}
