//! Network namespaces on a bridge.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Hosts `0..n`, each a namespace with one interface `eth0`, 10.77.0.(n+1)/24, on one bridge.
pub struct Hosts {
    prefix: String,
    count: usize,
}

impl Hosts {
    pub fn new(count: usize) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        assert!(count < 200, "the addresses end there");
        remove_stale();
        let prefix = format!("cvk{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        // From here on Drop removes what was made, should a step fail.
        let hosts = Self { prefix, count };
        let bridge = hosts.bridge();
        run("ip", &["netns", "add", &bridge]);
        // Without snooping: no querier is needed, and what a test wants lost it drops itself.
        let bridges = ["br0", "br1"].map(|b| format!("link add {b} type bridge mcast_snooping 0\nlink set {b} up\n"));
        batch(&bridge, &bridges.concat());
        for host in 0..count {
            let name = hosts.name(host);
            run("ip", &["netns", "add", &name]);
            batch(
                &bridge,
                &format!(
                    "link add v{host} type veth peer name eth0 netns {name}\nlink set v{host} master br0\nlink set v{host} up\n"
                ),
            );
            let addr = hosts.addr(host);
            batch(&name, &format!("addr add {addr}/24 dev eth0\nlink set lo up\nlink set eth0 up\n"));
        }
        hosts
    }

    fn bridge(&self) -> String {
        format!("{}-b", self.prefix)
    }

    /// The namespace of a host.
    pub fn name(&self, host: usize) -> String {
        format!("{}-h{host}", self.prefix)
    }

    pub fn addr(&self, host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    /// Pulls the cable out behind the switch: nothing passes any more, and the host's own interface stays up.
    pub fn cut(&self, host: usize) {
        batch(&self.bridge(), &format!("link set v{host} nomaster\n"));
    }

    /// These hosts reach each other, and nobody else.
    pub fn part(&self, side: &[usize]) {
        self.plug(side, "br1");
    }

    /// All of them reach all others again, at once.
    pub fn unite(&self, side: &[usize]) {
        self.plug(side, "br0");
    }

    fn plug(&self, hosts: &[usize], bridge: &str) {
        let commands: String = hosts.iter().map(|h| format!("link set v{h} master {bridge}\n")).collect();
        batch(&self.bridge(), &commands);
    }

    pub fn heal(&self, host: usize) {
        batch(&self.bridge(), &format!("link set v{host} master br0\n"));
    }

    /// The host's own interface, up or down.
    pub fn link(&self, host: usize, up: bool) {
        batch(&self.name(host), &format!("link set eth0 {}\n", if up { "up" } else { "down" }));
    }

    /// Nothing that this host sends gets past the switch; what is sent to it arrives.
    pub fn mute(&self, host: usize) {
        let rule = format!("type filter hook ingress device \"v{host}\" priority 0;\n drop");
        self.nft(&self.bridge(), &format!("table netdev mute{host} {{\n chain c {{\n {rule}\n }}\n}}\n"));
    }

    pub fn unmute(&self, host: usize) {
        self.nft(&self.bridge(), &format!("delete table netdev mute{host}\n"));
    }

    /// Nothing that comes from `others` (from anybody, where there are none) gets into this host.
    pub fn deafen(&self, host: usize, others: &[usize]) {
        let rules = match others {
            [] => " iifname \"eth0\" drop\n".to_owned(),
            _ => others.iter().map(|o| format!(" ip saddr {} drop\n", self.addr(*o))).collect(),
        };
        let chain = format!("chain c {{\n type filter hook input priority 0;\n{rules} }}");
        self.nft(&self.name(host), &format!("table inet deaf {{\n {chain}\n}}\n"));
    }

    pub fn undeafen(&self, host: usize) {
        self.nft(&self.name(host), "delete table inet deaf\n");
    }

    /// Nothing gets into this host that answers nothing, as behind a firewall that keeps track.
    pub fn wall(&self, host: usize) {
        self.nft(
            &self.name(host),
            "table inet wall {\n chain c {\n type filter hook input priority 0;\n ct state established,related accept\n iifname \"eth0\" drop\n }\n}\n",
        );
    }

    /// No multicast reaches this host, and none that it sends gets anywhere.
    pub fn drop_multicast(&self, host: usize) {
        self.nft(
            &self.name(host),
            "table inet cut {\n chain c {\n type filter hook input priority 0;\n iifname \"eth0\" ip daddr 224.0.0.0/4 drop\n }\n}\n",
        );
        // Dropped behind the interface: a filter on the way out would tell the sender.
        self.nft(
            &self.bridge(),
            &format!(
                "table netdev cut{host} {{\n chain c {{\n type filter hook ingress device \"v{host}\" priority 0;\n ip daddr 224.0.0.0/4 drop\n }}\n}}\n"
            ),
        );
    }

    fn nft(&self, namespace: &str, rules: &str) {
        feed("ip", &["netns", "exec", namespace, "nft", "-f", "-"], rules);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let names: Vec<String> = (0..self.count).map(|h| self.name(h)).chain([self.bridge()]).collect();
        remove(&names);
    }
}

/// Namespaces of an earlier run that was killed before it could remove them.
fn remove_stale() {
    let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else { return };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let is_stale = |name: &str| {
        let pid = name.strip_prefix("cvk").and_then(|rest| rest.split('-').next());
        pid.and_then(|p| p.parse::<u32>().ok())
            .is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    };
    let names: Vec<String> =
        listed.lines().filter_map(|l| l.split_whitespace().next()).filter(|n| is_stale(n)).map(Into::into).collect();
    remove(&names);
}

fn remove(names: &[String]) {
    for name in names {
        // It may never have been made.
        let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
    }
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
}

/// Several `ip` commands in a namespace by one process.
fn batch(namespace: &str, commands: &str) {
    feed("ip", &["-n", namespace, "-batch", "-"], commands);
}

fn feed(program: &str, args: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{program} {}: {input}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
}
