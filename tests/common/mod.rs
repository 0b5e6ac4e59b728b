//! Hosts in network namespaces, with real processes of the `convoke` command on them. For tests and benches, as root.
//!
//! Nothing here touches the host's own network: the bridge that joins the namespaces lives in a namespace of its own.

#![allow(dead_code)] // Each test and bench uses its own part of this.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unreachable_pub, missing_docs)]

mod hosts;
mod process;
mod site;
mod view;

pub use site::{Options, Site};
#[allow(unused_imports)] // Not by each test and bench.
pub use view::{View, check_leaderships, check_terms};

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970: the same clock for all namespaces.
pub fn unix_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Says something that the test runner's capture doesn't swallow.
pub fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One site at a time: two cores bear one convention of real processes, and what is measured shall not be disturbed.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why there can be no namespaces here, where there can be none.
pub fn missing() -> Option<String> {
    let probe = format!("cvk{}-probe", std::process::id());
    for (program, args) in [("ip", vec!["-V"]), ("nft", vec!["--version"]), ("ip", vec!["netns", "add", &probe])] {
        let run = Command::new(program).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match run {
            Ok(status) if status.success() => {}
            Ok(_) => return Some(format!("`{program} {}` fails (root is needed)", args.join(" "))),
            Err(e) => return Some(format!("there is no `{program}`: {e}")),
        }
    }
    let _ = Command::new("ip").args(["netns", "del", &probe]).status();
    None
}
