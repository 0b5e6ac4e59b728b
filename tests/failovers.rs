//! Real processes: leaders are killed one after the other, while all ask whoever leads and members send each other messages.
//! No answered request was given twice or to nobody, none is without an outcome, and each message is accounted for.
//!
//! `CONVOKE_FAILOVERS=50 cargo test --release --all-features --test failovers -- --nocapture`. Needs root, `ip` and `nft`; says
//! so where they are missing, and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Options, Site, loudly};
use std::collections::BTreeMap;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// What was said to the processes.
#[derive(Default)]
struct Said {
    /// By the process, in order: the first request has number 1.
    requests: BTreeMap<usize, Vec<String>>,
    messages: Vec<(usize, String, String)>,
    count: u64,
}

impl Said {
    fn all_ask(&mut self, site: &mut Site) {
        for host in site.present().collect::<Vec<_>>() {
            self.count += 1;
            let text = format!("{}-{}", site.id(host), self.count);
            site.say(host, &format!("request {text}"));
            self.requests.entry(site.serial(host)).or_default().push(text);
        }
        let members: Vec<usize> = site.members().collect();
        for (from, to) in members.iter().zip(members.iter().cycle().skip(1)) {
            self.count += 1;
            let (text, to) = (format!("message-{}", self.count), site.id(*to).to_owned());
            site.say(*from, &format!("send {to} {text}"));
            self.messages.push((site.serial(*from), to, text));
        }
    }
}

#[test]
fn requests_and_messages_under_failovers() {
    let failovers = std::env::var("CONVOKE_FAILOVERS").ok().and_then(|v| v.parse().ok()).unwrap_or(4);
    let options = Options { candidates: 3, members: 3, stores: true, heartbeat_ms: 50, ..Options::default() };
    let Some(mut site) = Site::founded("failovers", options) else { return };
    let mut said = Said::default();
    for n in 0..failovers {
        let (leader, term) = site.leader();
        for _ in 0..5 {
            said.all_ask(&mut site);
            site.pass(Duration::from_millis(3));
        }
        // In the midst of it, each time a little later.
        site.pass(Duration::from_micros(n % 7 * 700));
        let at = site.kill(leader);
        said.all_ask(&mut site);
        site.successor(term, at, LONG);
        said.all_ask(&mut site);
        site.start(leader, &[]);
        site.settle("the killed one is back", LONG);
    }
    let open = |site: &Site, said: &Said| {
        let answers = |serial: usize| site.views()[serial].events.iter().filter(|e| e["event"] == "answer").count();
        let live: Vec<usize> = site.present().map(|h| site.serial(h)).collect();
        said.requests.iter().filter(|(s, _)| live.contains(s)).any(|(s, asked)| answers(*s) < asked.len())
    };
    site.wait("each request of a process that lives has an outcome", LONG, |s| !open(s, &said));
    site.pass(Duration::from_millis(500));
    let (answered, unknown) = check_requests(&site, &said);
    let returned = check_messages(&site, &said);
    loudly(&format!(
        "failovers: {failovers}; {answered} requests answered, of {unknown} nobody knows; {} messages, {returned} came back",
        said.messages.len()
    ));
    site.close();
}

fn check_requests(site: &Site, said: &Said) -> (usize, usize) {
    let mut given: BTreeMap<&str, usize> = BTreeMap::new();
    for event in site.views().iter().flat_map(|v| &v.events).filter(|e| e["event"] == "request") {
        *given.entry(event["body"].as_str().unwrap()).or_default() += 1;
    }
    for (text, n) in &given {
        assert_eq!(*n, 1, "{text} was given {n} times");
    }
    let (mut answered, mut unknown) = (0, 0);
    for (serial, asked) in &said.requests {
        let mut told: BTreeMap<u64, usize> = BTreeMap::new();
        for event in site.views()[*serial].events.iter().filter(|e| e["event"] == "answer") {
            let number = event["number"].as_u64().unwrap();
            *told.entry(number).or_default() += 1;
            let text = &asked[number as usize - 1];
            match event["body"].as_str() {
                Some(body) => {
                    answered += 1;
                    assert_eq!(body, format!("echo:{text}"));
                    assert!(given.contains_key(text.as_str()), "{text} was answered and given to nobody");
                }
                None => {
                    unknown += 1;
                    assert_eq!(event["unknown"], true, "{event}");
                }
            }
        }
        assert!(told.values().all(|n| *n == 1), "told twice: {told:?}");
    }
    (answered, unknown)
}

/// Those between members, none of which was killed.
fn check_messages(site: &Site, said: &Said) -> usize {
    let mut returned = 0;
    for (serial, to, text) in &said.messages {
        let to = site.members().find(|h| site.id(*h) == to).unwrap();
        let of = |events: &[serde_json::Value], kind: &str| {
            events.iter().filter(|e| e["event"] == kind && e["body"] == text.as_str()).cloned().collect::<Vec<_>>()
        };
        let delivered = of(&site.view(to).events, "message").len();
        let back = of(&site.views()[*serial].events, "undeliverable");
        assert!(delivered <= 1 && back.len() <= 1, "{text}: delivered {delivered} times, {back:?}");
        assert!(delivered + back.len() >= 1, "{text} is lost");
        assert!(delivered == 0 || back.iter().all(|e| e["uncertain"] == true), "{text}: {back:?}");
        returned += back.len();
    }
    returned
}
