//! The `convoke` command from outside, on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

fn convoke(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convoke"));
    command.args(args.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("CONVOKE_LOG");
    command
}

/// Runs to the end: status, stdout, stderr.
fn ends(args: &str) -> (Option<i32>, String, String) {
    let out = convoke(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// Options of a convention that meets no other: one candidate, alone, without multicast.
fn alone(name: &str) -> String {
    format!(
        "node --json --convention {name}-{} --id a --candidate --found alone --no-multicast --heartbeat 50",
        std::process::id()
    )
}

/// A node that runs; killed at the end.
struct Node {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    seen: Vec<Value>,
}

impl Node {
    fn start(args: &str) -> Self {
        let mut child = convoke(args).stdin(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next event of this name.
    fn event(&mut self, name: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {name} after {:#?}", self.seen));
            self.seen.push(event.clone());
            if event["event"] == name {
                return event;
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(status.success());
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.try_iter());
                return status;
            }
            assert!(Instant::now() < deadline, "it doesn't end: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The roll for everyone, by real processes and multicast on loopback: a subscriber, and a member that isn't one.
#[test]
fn a_subscriber_follows_the_roll_and_members_claim_and_find() {
    let site = format!("node --json --convention roll-{} --heartbeat 50", std::process::id());
    let mut a = Node::start(&format!("{site} --id a --candidate --found alone"));
    a.event("registered");
    let mut s = Node::start(&format!("{site} --id s --subscribe"));
    let joined = [s.event("joined"), s.event("joined")].map(|e| e["member"].as_str().unwrap().to_owned());
    assert_eq!(joined, ["a", "s"]);
    let mut m = Node::start(&format!("{site} --id m"));
    m.event("registered");
    assert_eq!(s.event("joined")["member"], "m");
    m.say("set gpu=2");
    let updated = s.event("updated");
    assert_eq!((&updated["member"], &updated["capabilities"]["gpu"]), (&Value::from("m"), &Value::from("2")));
    m.say("find gpu=2");
    let found = m.event("find");
    assert_eq!((&found["count"], &found["members"][0]["member"]), (&Value::from(1), &Value::from("m")));
    m.say("find leader=yes");
    assert_eq!(m.event("find")["members"][0]["member"], "a");
    m.say("claim printer");
    assert_eq!(m.event("claimed")["outcome"], "yours");
    let named = s.event("name");
    assert_eq!((&named["name"], &named["owner"]), (&Value::from("printer"), &Value::from("m")));
    a.say("claim printer");
    let taken = a.event("claimed");
    assert_eq!((&taken["outcome"], &taken["owner"]), (&Value::from("taken"), &Value::from("m")));
    m.say("members");
    assert!(m.event("error")["message"].as_str().unwrap().contains("--subscribe"));
    s.say("members");
    assert_eq!(s.event("members")["count"], 3);
    m.say("line");
    assert_eq!(m.event("line")["line"][0]["id"], "a");
    m.say("leave");
    assert_eq!(s.event("name")["owner"], Value::Null);
    assert_eq!(s.event("left")["member"], "m");
    assert_eq!(m.end().code(), Some(0));
}

/// Many members in one process, on one thread.
#[test]
fn a_swarm_registers_tells_its_figures_and_leaves() {
    let name = format!("--json --convention swarm-{} --heartbeat 100", std::process::id());
    let mut a = Node::start(&format!("node {name} --id a --candidate --found alone"));
    a.event("registered");
    let mut swarm = Node::start(&format!("swarm {name} --id w --members 20 --subscribers 2"));
    assert_eq!(swarm.event("started")["members"], 20);
    swarm.event("all_registered");
    loop {
        let told = swarm.event("swarm");
        assert_eq!((&told["registered"], &told["drops"]), (&Value::from(20), &Value::from(0)));
        if told["known"] == 21 {
            break;
        }
    }
    swarm.say("leave");
    let left: Vec<_> = (0..20).map(|_| a.event("left")["reason"].clone()).collect();
    assert!(left.iter().all(|reason| reason == "left"), "{left:?}");
    assert_eq!(swarm.event("stopped")["reason"], "left");
    assert_eq!(swarm.end().code(), Some(0));
}

#[test]
fn what_cannot_be_meant_ends_with_status_2_and_one_line() {
    for (args, part) in [
        ("", "say a command"),
        ("fly", "no command"),
        ("probe", "not yet"),
        ("swarm --convention c --members 0", "1 to 100000"),
        ("node", "--convention"),
        ("node --convention c --candidate", "has to say how"),
        ("node --convention c --heartbeat 0", "heartbeat"),
        ("node --convention c --detect 1", "detect"),
        ("node --convention c --no-multicast", "no way to find others"),
        ("node --convention c --multicast 10.0.0.1:5000", "no multicast address"),
        ("node --convention c --seed nowhere", "nowhere"),
        ("node --convention c --secret-file x", "not yet"),
    ] {
        let (status, out, err) = ends(args);
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(2), "", 1), "{args}: {err}");
        assert!(err.contains(part), "{args}: {err}");
    }
}

#[test]
fn help_and_version_are_told() {
    for (args, part) in [
        ("--help", "convoke node"),
        ("node --help", "--give-up"),
        ("demo --help", "--nodes"),
        ("sim --help", "--seeds"),
    ] {
        let (status, out, err) = ends(args);
        assert_eq!((status, err.as_str()), (Some(0), ""), "{args}");
        assert!(out.contains(part), "{args}: {out}");
    }
    assert_eq!(ends("--version").1, format!("convoke {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_the_system_denies_ends_with_status_1_and_names_the_thing() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_udp = udp.local_addr().unwrap().to_string();
    let file = std::env::temp_dir().join(format!("convoke-cli-{}", std::process::id()));
    std::fs::write(&file, "no directory").unwrap();
    let store = file.display().to_string();
    for (more, part) in [
        (format!("--admin {taken}"), taken.as_str()),
        (format!("--admin {taken_udp}"), taken_udp.as_str()),
        ("--interface nosuch9".into(), "nosuch9"),
        (format!("--store {store}"), store.as_str()),
    ] {
        let (status, out, err) = ends(&format!("{} {more}", alone("denied")));
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1), "{more}: {err}");
        assert!(err.contains(part), "{more}: {err}");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_node_alone_leads_and_leaves_in_order() {
    for signal in ["TERM", "INT"] {
        let mut node = Node::start(&alone(&format!("leave-{signal}")));
        let started = node.event("started");
        assert_eq!(node.seen.len(), 1, "`started` is the first line");
        assert!(started["admin"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert!(started["incarnation"].is_u64() && started["version"].is_string() && started["unix_us"].is_u64());
        let leader = node.event("leader");
        assert_eq!((&leader["leader"], &leader["id"], &leader["term"]), (&"a".into(), &"a".into(), &1.into()));
        // The end of stdin is no order.
        drop(node.child.stdin.take());
        std::thread::sleep(Duration::from_millis(100));
        assert!(node.child.try_wait().unwrap().is_none());
        node.signal(signal);
        assert_eq!(node.event("stopped")["reason"], "left");
        assert_eq!(node.end().code(), Some(0));
        assert_eq!(node.seen.last().unwrap()["event"], "stopped", "the last line");
        assert_eq!(node.stderr(), "");
    }
}

#[test]
fn commands_are_answered() {
    let mut node = Node::start(&format!("{} --capability colour=red", alone("commands")));
    node.event("leader");
    node.say("set size=xl");
    assert_eq!(node.event("updated")["capabilities"], serde_json::json!({"colour": "red", "size": "xl"}));
    node.say("find size=xl");
    let found = node.event("find");
    assert_eq!((&found["count"], &found["members"][0]["member"]), (&1.into(), &"a".into()));
    node.say("unset colour");
    assert_eq!(node.event("updated")["capabilities"], serde_json::json!({"size": "xl"}));
    node.say("find colour=red");
    assert_eq!(node.event("find")["count"], 0);
    node.say("members");
    assert_eq!(node.event("members")["members"][0]["candidate"], true);
    node.say("line");
    let line = node.event("line");
    assert_eq!((&line["line"][0]["id"], &line["line"][0]["index"]), (&"a".into(), &0.into()));
    node.say("stats");
    assert!(node.event("stats")["leaderships"].as_u64().unwrap() >= 1);
    for (bad, part) in
        [("unset colour", "no capability"), ("jump", "no command"), ("claim", "which NAME"), ("set x", "KEY=VALUE")]
    {
        node.say(bad);
        let message = node.event("error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{bad}: {message}");
    }
    node.say("leave");
    assert_eq!(node.event("stopped")["reason"], "left");
    assert_eq!(node.end().code(), Some(0));
}

/// Both lanes, from one node to another.
fn talk(from: &mut Node, to: &mut Node, ids: [&str; 2]) {
    for (command, lane) in [("send", "stream"), ("datagram", "datagram")] {
        from.say(&format!("{command} {} hello  world", ids[1]));
        let message = to.event("message");
        let fields = [&message["from"], &message["body"], &message["lane"]];
        assert_eq!(fields, [ids[0], "hello  world", lane]);
    }
}

#[test]
fn messages_go_to_other_nodes_and_come_back_from_nobody() {
    let base = alone("messages");
    let mut leader = Node::start(&base);
    let seed = leader.event("started")["admin"].as_str().unwrap().to_owned();
    leader.event("leader");
    let base = base.replace("--id a", "--id m").replace("--candidate --found alone", &format!("--seed {seed}"));
    let mut member = Node::start(&base);
    member.event("registered");
    talk(&mut leader, &mut member, ["a", "m"]);
    talk(&mut member, &mut leader, ["m", "a"]);
    for nobody in ["nobody", "a"] {
        leader.say(&format!("send {nobody} hello?"));
        let back = leader.event("undeliverable");
        assert_eq!([&back["to"], &back["body"], &back["reason"]], [nobody, "hello?", "no_such_member"]);
    }
    member.signal("KILL");
    assert!(!member.end().success());
    leader.say("send m hello?");
    assert_eq!(leader.event("undeliverable")["to"], "m");
}

#[test]
fn quit_and_the_end_of_stdin_can_stop_a_node_at_once() {
    let mut node = Node::start(&alone("quit"));
    node.event("leader");
    node.say("quit");
    assert_eq!(node.event("stopped")["reason"], "quit");
    assert_eq!(node.end().code(), Some(0));
    let mut node = Node::start(&format!("{} --until-eof", alone("eof")));
    node.event("leader");
    drop(node.child.stdin.take());
    assert_eq!(node.end().code(), Some(0));
    assert_eq!(node.seen.last().unwrap()["event"], "stopped");
}

#[test]
fn without_a_leader_it_gives_up_when_told_to() {
    let began = Instant::now();
    let mut node = Node::start(&format!(
        "node --json --convention nobody-{} --id m --no-multicast --seed 127.0.0.1:9 --give-up 300",
        std::process::id()
    ));
    assert_eq!(node.event("stopped")["reason"], "gave_up");
    assert_eq!(node.end().code(), Some(1));
    assert!(began.elapsed() >= Duration::from_millis(300));
    let err = node.stderr();
    assert!(err.lines().count() == 1 && err.contains("no leader within 300 ms"), "{err}");
}

#[test]
fn a_store_keeps_the_term() {
    let dir = std::env::temp_dir().join(format!("convoke-store-{}", std::process::id()));
    let args = format!("{} --store {}", alone("store"), dir.display());
    let mut last = (0, 0);
    for _ in 0..2 {
        let mut node = Node::start(&args);
        let incarnation = node.event("started")["incarnation"].as_u64().unwrap();
        let term = node.event("leader")["term"].as_u64().unwrap();
        assert!(term > last.0 && incarnation > last.1, "{term} {incarnation} after {last:?}");
        last = (term, incarnation);
        let second = ends(&args);
        assert_eq!(second.0, Some(1), "the store is locked: {}", second.2);
        assert!(second.2.contains(&dir.display().to_string()), "{}", second.2);
        node.child.kill().unwrap();
        node.end();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_line_is_changed_while_it_runs() {
    let name = format!("line-{}", std::process::id());
    let node = |id: &str, more: &str| {
        Node::start(&format!("node --json --convention {name} --id {id} --no-multicast --heartbeat 100 {more}"))
    };
    let mut a = node("a", "--candidate --found alone");
    let seed = format!("--seed {}", a.event("started")["admin"].as_str().unwrap());
    a.event("leader");
    let mut b = node("b", &format!("--candidate --found alone {seed}"));
    let mut m = node("m", &seed);
    m.event("registered");
    // The line as the leader tells it next: who counts, in order.
    let wait = |a: &mut Node, expected: &str| loop {
        let event = a.event("line");
        let seats = event["line"].as_array().unwrap();
        let active = seats.iter().filter(|s| s["active"] == true).map(|s| s["id"].as_str().unwrap());
        if active.collect::<Vec<_>>().join(" ") == expected && seats.iter().all(|s| s["active"] == true) {
            break;
        }
    };
    wait(&mut a, "a b");
    let role = |n: &mut Node, expected: &str| while n.event("role")["role"] != expected {};
    role(&mut b, "supporter");
    let refused = |n: &mut Node, order: &str, part: &str| {
        n.say(order);
        let message = n.event("error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{order}: {message}");
    };
    refused(&mut b, "retire a", "ask a");
    refused(&mut a, "retire a", "hand over");
    refused(&mut a, "retire m", "not in the line");
    a.say("retire b");
    wait(&mut a, "a");
    role(&mut b, "member");
    m.say("promote");
    wait(&mut a, "a m");
    role(&mut m, "supporter");
    a.say("priority m 3");
    wait(&mut a, "m a");
    m.say("demote");
    wait(&mut a, "a");
    role(&mut m, "member");
    b.say("promote");
    wait(&mut a, "a b");
    for mut n in [m, b, a] {
        n.say("leave");
        assert_eq!(n.event("stopped")["reason"], "left");
    }
}

/// Two conventions of one name, each in a group of its own on loopback: a member goes over to the other, a leader after
/// it, and the member comes back by a seed.
#[test]
fn a_node_is_pointed_at_another_address_while_it_runs() {
    let name = format!("move-{}", std::process::id());
    // Ports that nobody else's test has: two for each group.
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() & !1;
    let ports = [free(), free()];
    let group = |n: usize| format!("239.192.67.{}:{}", 101 + n, ports[n]);
    let node = |id: &str, n: usize, more: &str| {
        let group = group(n);
        Node::start(&format!("node --json --convention {name} --id {id} --multicast {group} --heartbeat 100 {more}"))
    };
    let (mut a, mut b) = (node("a", 0, "--candidate --found alone"), node("b", 1, "--candidate --found alone"));
    let admin = a.event("started")["admin"].as_str().unwrap().to_owned();
    let [old, new] = [&mut a, &mut b].map(|n| n.event("leader")["lineage"].clone());
    assert_ne!(old, new);
    let mut m = node("m", 0, "");
    let before = m.event("started")["incarnation"].as_u64().unwrap();
    assert_eq!(m.event("registered")["leader"], "a");
    let refused = |n: &mut Node, order: &str, part: &str| {
        n.say(order);
        let message = n.event("error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{order}: {message}");
    };
    refused(&mut m, "move --multicast 10.0.0.1:5", "no multicast address");
    refused(&mut m, "move --seed nowhere", "HOST:PORT");
    refused(&mut m, "move --no-multicast", "no way to find others");
    refused(&mut m, "move --multicast [ff15::1]:4000", "family");
    let member_event = |n: &mut Node, kind: &str, id: &str| loop {
        let event = n.event(kind);
        if event["member"] == id {
            break event;
        }
    };
    m.say(&format!("move --multicast {}", group(1)));
    assert_eq!(member_event(&mut a, "left", "m")["reason"], "left");
    let moved = loop {
        let event = m.event("network");
        if event["kind"] == "moved" {
            break event;
        }
    };
    assert!(moved["incarnation"].as_u64().unwrap() > before);
    assert_eq!((&moved["left"], &m.event("registered")["leader"]), (&old, &"b".into()));
    member_event(&mut b, "joined", "m");
    // The other way, by a seed alone.
    m.say(&format!("move --no-multicast --seed {admin}"));
    assert_eq!(member_event(&mut b, "left", "m")["reason"], "left");
    assert_eq!(m.event("registered")["leader"], "a");
    // A leader: it resigns, and is a candidate where it comes.
    b.say(&format!("move --multicast {}", group(0)));
    while b.event("role")["role"] != "supporter" {}
    let line = a.event("line");
    assert!(line["line"].as_array().unwrap().iter().any(|s| s["id"] == "b"), "{line}");
    for mut n in [m, b, a] {
        n.say("leave");
        assert_eq!(n.event("stopped")["reason"], "left");
    }
}

/// Who leads answers, be it asked by itself or by another.
#[test]
fn whoever_leads_is_asked_and_answers() {
    let name = format!("ask-{}", std::process::id());
    let base = format!("node --json --no-multicast --convention {name} --heartbeat 100");
    let mut a = Node::start(&format!("{base} --id a --candidate --found alone"));
    let seed = a.event("started")["admin"].as_str().unwrap().to_owned();
    a.event("registered");
    let mut m = Node::start(&format!("{base} --id m --seed {seed}"));
    m.event("registered");
    m.say("request one two");
    let asked = a.event("request");
    assert_eq!(
        (asked["from"].as_str(), asked["number"].as_u64(), asked["body"].as_str()),
        (Some("m"), Some(1), Some("one two"))
    );
    let answer = m.event("answer");
    assert_eq!((answer["number"].as_u64(), answer["body"].as_str()), (Some(1), Some("echo:one two")));
    a.say("request three");
    assert_eq!(a.event("request")["from"], "a");
    assert_eq!(a.event("answer")["body"], "echo:three");
    // More than an answer holds: nobody answers that, and its sender knows.
    m.say(&format!("request {}", "x".repeat(20_000)));
    let answer = m.event("answer");
    assert_eq!((answer["number"].as_u64(), answer["unknown"].as_bool()), (Some(2), Some(true)));
    assert_eq!(answer["reason"], "forgotten");
    // Nobody leads any more: it waits until its sender goes.
    assert!(a.child.kill().is_ok());
    m.say("request four");
    m.say("leave");
    let answer = m.event("answer");
    assert_eq!((answer["number"].as_u64(), answer["reason"].as_str()), (Some(3), Some("stopped")));
}
