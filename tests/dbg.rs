#![cfg(feature = "sim")]
use convoke::sim::*;
#[test]
fn dbg() {
    let seed: u64 = std::env::var("SEED").unwrap().parse().unwrap();
    let faults = std::env::var("FAULTS").unwrap().parse().unwrap();
    let members = std::env::var("MEMBERS").ok().map(|m| m.parse().unwrap());
    let options = Options {
        faults,
        members,
        heartbeat: members.map(|_| std::time::Duration::from_millis(100)),
        ..Options::default()
    };
    let report = Run::seed(seed).options(options).trace(Detail::Story, 3000).execute();
    for l in &report.lines {
        println!("{l}");
    }
    println!("{report}");
}
