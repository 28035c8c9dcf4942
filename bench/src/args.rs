//! The command line, read by hand: two programs with a dozen options need no more.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// The arguments that are not read yet.
pub struct Args(Box<dyn Iterator<Item = String>>);

impl Args {
    /// Those this process was started with.
    pub fn of_process() -> Self {
        Args(Box::new(std::env::args().skip(1)))
    }

    /// Those in a line of text.
    #[cfg(test)]
    pub fn of(line: &'static str) -> Self {
        Args(Box::new(line.split_whitespace().map(String::from)))
    }

    /// The next argument.
    #[expect(clippy::should_implement_trait, reason = "the values of options come between")]
    pub fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    /// The value that follows `option`.
    pub fn value<T: FromStr<Err: Display>>(&mut self, option: &str) -> Result<T, String> {
        let value = self.next().ok_or_else(|| format!("{option} wants a value"))?;
        value.parse().map_err(|error| format!("{option} {value}: {error}"))
    }

    /// The number of seconds that follows `option`.
    pub fn seconds(&mut self, option: &str) -> Result<Duration, String> {
        let seconds = self.value(option)?;
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("{option} {seconds}: {error}"))
    }
}

/// Says what was wrong with the command line and how it should have been.
pub fn refuse(error: &str, usage: &str) -> ExitCode {
    eprintln!("{error}\nusage: {usage}");
    ExitCode::from(2)
}

/// The status of a program whose work went so: whether all went well, or why it could not be done at all.
pub fn status(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_the_option_is_blamed() {
        assert_eq!(Args::of("12").value("--size"), Ok(12));
        assert_eq!(Args::of("0.25").seconds("--seconds"), Ok(Duration::from_millis(250)));
        for refusal in [
            Args::of("").value::<u32>("--size").unwrap_err(),
            Args::of("many").value::<u32>("--size").unwrap_err(),
            Args::of("-1").seconds("--size").unwrap_err(),
            Args::of("inf").seconds("--size").unwrap_err(),
        ] {
            assert!(refusal.starts_with("--size "), "{refusal}");
        }
    }
}
