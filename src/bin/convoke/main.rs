//! The `convoke` command: how people try the crate, test their network, and test the crate from outside.

mod args;
mod commands;
mod demo;
mod events;
mod help;
mod inputs;
mod node;
mod notices;
mod options;
mod report;
mod sim;
mod swarm;

use args::Order;
use std::process::ExitCode;

/// Why the command ends with an error: one line, and the exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked for can't be meant, or can't be done yet: status 2.
    Usage(String),
    /// It was tried and didn't work: status 1.
    Failed(String),
}

impl Failure {
    pub(crate) fn usage(text: impl std::fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    pub(crate) fn failed(text: impl std::fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }
}

fn main() -> ExitCode {
    let result = args::parse(lexopt::Parser::from_env()).and_then(|order| match order {
        Order::Help(text) => print_text(text),
        Order::Version => print_text(concat!("convoke ", env!("CARGO_PKG_VERSION"), "\n")),
        Order::Node(args) => node::run(*args),
        Order::Swarm(args) => swarm::run(*args),
        Order::Demo(args) => demo::run(&args),
        Order::Sim(args) => sim::run(&args),
        Order::Bounds(bounds) => print_text(&bounds.to_string()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (text, status) = match failure {
                Failure::Usage(text) => (text, 2),
                Failure::Failed(text) => (text, 1),
            };
            eprintln!("convoke: {}", text.replace('\n', " "));
            ExitCode::from(status)
        }
    }
}

/// Not `print!`, which panics where nobody reads.
fn print_text(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::failed)
}

/// Logs go to stderr; `CONVOKE_LOG` filters them, in the syntax of `tracing-subscriber`. Warnings without it.
pub(crate) fn start_logs() -> Result<(), Failure> {
    use tracing_subscriber::EnvFilter;
    let filter = match std::env::var("CONVOKE_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|e| {
            Failure::usage(format!("CONVOKE_LOG={text:?} is no filter: {e} (try info, or convoke=debug)"))
        })?,
        Err(_) => EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
