//! Real processes on hosts that nobody can connect to: what comes in has to answer something that went out. Needs root,
//! `ip` and `nft`; where they are missing each test says so on stderr and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Options, Site};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// Three candidates, two members behind walls, one in the open that has `source=yes`.
fn walled(name: &str) -> Option<(Site, [usize; 3])> {
    let options = Options { candidates: 3, members: 3, ..Options::default() };
    let mut site = Site::open(name, options)?;
    let [a, b, open] = [site.members().start, site.members().start + 1, site.members().start + 2];
    let seeds: Vec<String> = site.candidates().map(|c| format!("{}:6800", site.hosts().addr(c))).collect();
    for host in site.candidates() {
        site.start(host, &["--admin", &seeds[host]]);
    }
    for host in [a, b] {
        site.hosts().wall(host);
        let mut more = vec!["--outbound-only"];
        seeds.iter().for_each(|s| more.extend(["--seed", s]));
        site.start(host, &more);
    }
    site.start(open, &["--capability", "source=yes"]);
    site.settle("all find each other", LONG);
    Some((site, [a, b, open]))
}

/// The texts of the messages that this host was given from that one.
fn given(site: &Site, host: usize, from: &str) -> Vec<String> {
    let of = |e: &&serde_json::Value| e["event"] == "message" && e["from"] == from;
    site.view(host).events.iter().filter(of).map(|e| e["body"].as_str().unwrap().to_owned()).collect()
}

/// Sends so many numbered messages, and waits until all of them are there, in order.
fn talk(site: &mut Site, what: &str, from: usize, to: usize, n: usize) {
    let (sender, receiver) = (site.id(from).to_owned(), site.id(to).to_owned());
    let before = given(site, to, &sender).len();
    for k in 0..n {
        site.say(from, &format!("send {receiver} {what} {k}"));
    }
    site.wait(what, LONG, |s| given(s, to, &sender).len() == before + n);
    let expected: Vec<String> = (0..n).map(|k| format!("{what} {k}")).collect();
    assert_eq!(given(site, to, &sender)[before..], expected, "{what}");
}

/// The way from one to another, and through whom.
fn path(site: &mut Site, from: usize, to: usize) -> (String, Option<String>) {
    let id = site.id(to).to_owned();
    let before = site.view(from).events.iter().filter(|e| e["event"] == "path").count();
    site.say(from, &format!("path {id}"));
    site.wait("the path is told", LONG, |s| {
        s.view(from).events.iter().filter(|e| e["event"] == "path").count() > before
    });
    let told = site.view(from).last("path").unwrap();
    (told["path"].as_str().unwrap().to_owned(), told["via"].as_str().map(Into::into))
}

#[test]
fn members_behind_walls_are_full_members_and_talk_with_everybody() {
    let Some((mut site, [a, b, open])) = walled("walls") else { return };
    talk(&mut site, "from the open", open, a, 20);
    assert_eq!(path(&mut site, open, a), ("dialled_back".into(), None), "it connected, as it was asked to");
    talk(&mut site, "into the open", b, open, 20);
    talk(&mut site, "between walls", a, b, 50);
    talk(&mut site, "and back", b, a, 50);
    let (way, via) = path(&mut site, a, b);
    assert_eq!(way, "relayed");
    let (leader, term) = site.leader();
    talk(&mut site, "from the leader", leader, a, 20);
    site.say(a, "ask source=yes who are you?");
    site.wait("an answer", LONG, |s| s.view(a).last("reply").is_some_and(|r| r["body"] == "echo:who are you?"));
    assert_eq!(site.view(a).last("reply").unwrap()["from"], site.id(open));
    site.say(a, "ask nobody=has it");
    site.wait("no answer", LONG, |s| s.view(a).last("reply").is_some_and(|r| r["undelivered"] == true));

    // Whoever relays dies: the pair finds another way.
    let relay = site.candidates().find(|c| Some(site.id(*c)) == via.as_deref()).unwrap();
    assert_ne!(relay, leader, "a supporter relays");
    site.kill(relay);
    talk(&mut site, "after the relay", a, b, 50);
    site.start(relay, &["--admin", &format!("{}:6800", site.hosts().addr(relay))]);
    site.settle("the relay is back", LONG);
    // The leader dies: they know the next one, and are known to it.
    let killed_us = site.kill(leader);
    site.successor(term, killed_us, LONG);
    talk(&mut site, "after the leader", a, b, 50);
    talk(&mut site, "to the open again", b, open, 20);
    talk(&mut site, "and from there", open, b, 20);
    for host in [a, b] {
        let name = site.id(host).to_owned();
        assert_eq!(site.view(host).registered, 1, "{name} was registered once and never lost");
        assert!(site.present_candidates().all(|h| site.view(h).left_reason(&name).is_none()));
    }
    site.close();
}
