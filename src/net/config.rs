//! Where a node listens, and by which ways it looks for others: checked once, by the builder.

use super::iface::Pattern;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The multicast group and port of the floor where none is named: 239.192.67.79, port 6779. The bench is one port above.
///
/// The group lies in the organisation-local scope (RFC 2365); datagrams leave with a TTL of 1 and so stay on their link.
pub const DEFAULT_GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 67, 79)), 6779);

/// What is wrong with a network configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfigError(String);

impl fmt::Display for NetConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NetConfigError {}

/// A place that may have to be resolved: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A numeric one.
    Addr(SocketAddr),
    /// A name to be resolved anew at each use.
    Name(String, u16),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(addr) = text.parse() {
            return Some(Self::Addr(addr));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        // What still has a colon in it is an IPv6 address that lacks its brackets.
        let clean = !host.is_empty() && !host.contains([':', '[', ']', '/']) && !host.contains(char::is_whitespace);
        clean.then(|| Self::Name(host.into(), port))
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Addr(addr) => addr.port(),
            Self::Name(_, port) => *port,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => write!(f, "{addr}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Another convention address, for a node that runs: where it looks for others from then on, in place of all that it was
/// told before. Made by [`Discovery::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    pub(crate) multicast: Option<SocketAddr>,
    pub(crate) seeds: Vec<Place>,
}

impl Discovery {
    /// The floor's group, where multicast is used there, and seeds (`host:port`).
    ///
    /// # Errors
    /// [`NetConfigError`], a sentence: no multicast address, a seed that is no `host:port`.
    ///
    /// ```
    /// use convoke::net::Discovery;
    /// assert!(Discovery::new(Some("239.1.2.3:4567".parse().unwrap()), &["db-2.example:7000"]).is_ok());
    /// assert!(Discovery::new(Some("10.0.0.1:4567".parse().unwrap()), &[]).is_err());
    /// ```
    pub fn new(multicast: Option<SocketAddr>, seeds: &[&str]) -> Result<Self, NetConfigError> {
        if let Some(group) = multicast {
            check_group(group).map_err(NetConfigError)?;
        }
        Ok(Self { multicast, seeds: check_seeds(seeds.iter().copied()).map_err(NetConfigError)? })
    }

    /// The floor's group and port, where multicast is used.
    #[must_use]
    pub fn multicast(&self) -> Option<SocketAddr> {
        self.multicast
    }

    /// Whether there are seeds.
    #[must_use]
    pub fn has_seeds(&self) -> bool {
        !self.seeds.is_empty()
    }
}

/// A network configuration that can work. Made by [`NetConfig::builder`].
#[derive(Debug, Clone)]
pub struct NetConfig {
    pub(crate) interfaces: Vec<Pattern>,
    pub(crate) multicast: Option<SocketAddr>,
    pub(crate) broadcast: bool,
    pub(crate) seeds: Vec<Place>,
    pub(crate) admin: Option<Place>,
    pub(crate) advertise: Option<Place>,
    pub(crate) receive_buffer: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) user_timeout: Duration,
    pub(crate) max_output: usize,
    pub(crate) max_outputs: usize,
    pub(crate) max_streams: usize,
    pub(crate) refresh: Duration,
}

impl NetConfig {
    /// A builder with the defaults: loopback only, the group [`DEFAULT_GROUP`], no broadcast, no seeds.
    ///
    /// ```
    /// use convoke::net::NetConfig;
    /// let config = NetConfig::builder().interface("eth*").seed("db-1.example:7000").build().unwrap();
    /// assert!(config.has_seeds());
    /// assert!(NetConfig::builder().multicast("10.0.0.1:6779".parse().unwrap()).build().is_err());
    /// ```
    pub fn builder() -> NetConfigBuilder {
        NetConfigBuilder {
            interfaces: Vec::new(),
            multicast: Some(DEFAULT_GROUP),
            broadcast: false,
            seeds: Vec::new(),
            admin: None,
            advertise: None,
            receive_buffer: 4 << 20,
            connect_timeout: Duration::from_secs(3),
            user_timeout: Duration::from_secs(30),
            max_output: 8 << 20,
            max_outputs: 256 << 20,
            max_streams: 4_096,
            refresh: Duration::from_millis(1_500),
        }
    }

    /// The floor's group and port, where multicast is used.
    #[must_use]
    pub fn multicast(&self) -> Option<SocketAddr> {
        self.multicast
    }

    /// Whether limited broadcast is used.
    #[must_use]
    pub fn broadcast(&self) -> bool {
        self.broadcast
    }

    /// Whether there are seeds.
    #[must_use]
    pub fn has_seeds(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// The port of the bench, and of limited broadcast: one above the floor's.
    #[must_use]
    pub fn bench_port(&self) -> u16 {
        // The builder refuses port 65535, so there is one above.
        self.multicast.unwrap_or(DEFAULT_GROUP).port().saturating_add(1)
    }
}

/// Builds a [`NetConfig`].
#[derive(Debug, Clone)]
#[must_use]
pub struct NetConfigBuilder {
    interfaces: Vec<String>,
    multicast: Option<SocketAddr>,
    broadcast: bool,
    seeds: Vec<String>,
    admin: Option<String>,
    advertise: Option<String>,
    receive_buffer: usize,
    connect_timeout: Duration,
    user_timeout: Duration,
    max_output: usize,
    max_outputs: usize,
    max_streams: usize,
    refresh: Duration,
}

impl NetConfigBuilder {
    /// Adds an interface by its name, a glob of names (`eth*`), an address or a CIDR (`10.1.0.0/16`). Without any:
    /// loopback only. Each has to match something when the node starts.
    pub fn interface(mut self, pattern: &str) -> Self {
        self.interfaces.push(pattern.into());
        self
    }

    /// The multicast group and port of the floor ([`DEFAULT_GROUP`]); the bench is the same group, one port above.
    pub fn multicast(mut self, group: SocketAddr) -> Self {
        self.multicast = Some(group);
        self
    }

    /// No multicast at all.
    pub fn no_multicast(mut self) -> Self {
        self.multicast = None;
        self
    }

    /// Whether to use limited broadcast, to the bench's port (false). IPv4 only.
    pub fn broadcast(mut self, on: bool) -> Self {
        self.broadcast = on;
        self
    }

    /// Adds a seed, `host:port`. A name is resolved anew at each try, by a thread of its own.
    pub fn seed(mut self, seed: &str) -> Self {
        self.seeds.push(seed.into());
        self
    }

    /// Where to listen, TCP and UDP on the same port: `host:port` (the first chosen interface's address, any free port).
    pub fn admin(mut self, admin: &str) -> Self {
        self.admin = Some(admin.into());
        self
    }

    /// What others are told instead of the address where this node listens: `host:port`; port 0 is the port in use.
    ///
    /// Where it differs, whoever refuses a connection there may be another host: the driver turns
    /// [`crate::proto::ConfigBuilder::death_evidence`] off.
    pub fn advertise(mut self, advertise: &str) -> Self {
        self.advertise = Some(advertise.into());
        self
    }

    /// The receive buffer to ask for at the node's own UDP port, in bytes (4 MiB): 64 KiB to 1 GiB.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// How long a connection may take to be made (3 s): 1 ms to 1 h.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long sent bytes may stay unacknowledged before a connection is given up, where the system can do that
    /// (30 s): 1 ms to 1 h.
    pub fn user_timeout(mut self, limit: Duration) -> Self {
        self.user_timeout = limit;
        self
    }

    /// How many bytes may wait to be sent on one connection (8 MiB): 64 KiB to 1 GiB. Beyond, it is closed.
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// How many bytes may wait to be sent on all connections together (256 MiB): at least those of one, at most 1 TiB. Beyond,
    /// the one for which most waits is closed.
    pub fn max_outputs(mut self, bytes: usize) -> Self {
        self.max_outputs = bytes;
        self
    }

    /// How many connections there may be at a time (4,096): 1 to 1,000,000. More are refused by closing them at once, and
    /// counted ([`super::NetStats::accepts_refused`]). Where the process may have fewer descriptors than that (`RLIMIT_NOFILE`:
    /// see [`crate::driver`]), there may be 64 fewer than those. Each takes a descriptor, about
    /// 1 kB of this process's memory (up to 128 KiB while half a frame of it is there) and 4 kB of the kernel's.
    pub fn max_streams(mut self, n: usize) -> Self {
        self.max_streams = n;
        self
    }

    /// How often the interfaces are read again (1.5 s): 10 ms to 1 h.
    pub fn refresh(mut self, interval: Duration) -> Self {
        self.refresh = interval;
        self
    }

    /// Checks it all.
    ///
    /// # Errors
    /// [`NetConfigError`], a sentence that says what to do.
    pub fn build(self) -> Result<NetConfig, NetConfigError> {
        self.check().map_err(NetConfigError)
    }

    fn check(self) -> Result<NetConfig, String> {
        if let Some(group) = self.multicast {
            check_group(group)?;
        }
        check_range("receive_buffer", self.receive_buffer, 64 << 10, 1 << 30)?;
        check_range("max_output", self.max_output, 64 << 10, 1 << 30)?;
        check_range("max_outputs", self.max_outputs, self.max_output, 1 << 40)?;
        check_range("max_streams", self.max_streams, 1, 1_000_000)?;
        let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(3_600));
        check_range("connect_timeout", self.connect_timeout, ms, hour)?;
        check_range("user_timeout", self.user_timeout, ms, hour)?;
        check_range("refresh", self.refresh, 10 * ms, hour)?;
        let seeds = check_seeds(self.seeds.iter().map(String::as_str))?;
        Ok(NetConfig {
            interfaces: self.interfaces.iter().map(|p| Pattern::parse(p)).collect::<Result<Vec<_>, _>>()?,
            multicast: self.multicast,
            broadcast: self.broadcast,
            seeds,
            admin: self.admin.as_deref().map(|a| place("the admin address", a)).transpose()?,
            advertise: self.advertise.as_deref().map(|a| place("the advertised address", a)).transpose()?,
            receive_buffer: self.receive_buffer,
            connect_timeout: self.connect_timeout,
            user_timeout: self.user_timeout,
            max_output: self.max_output,
            max_outputs: self.max_outputs,
            max_streams: self.max_streams,
            refresh: self.refresh,
        })
    }
}

fn place(what: &str, text: &str) -> Result<Place, String> {
    Place::parse(text)
        .ok_or_else(|| format!("{what} {text:?} isn't HOST:PORT: write db-1:7000, 10.1.2.3:7000 or [fd00::1]:7000"))
}

fn check_seeds<'a>(seeds: impl Iterator<Item = &'a str>) -> Result<Vec<Place>, String> {
    let seeds = seeds.map(|s| place("the seed", s)).collect::<Result<Vec<_>, _>>()?;
    match seeds.iter().find(|s| s.port() == 0) {
        Some(zero) => Err(format!("the seed {zero} has port 0: name the port where the seed listens")),
        None => Ok(seeds),
    }
}

fn check_group(group: SocketAddr) -> Result<(), String> {
    if !group.ip().is_multicast() {
        return Err(format!(
            "{} is no multicast address: choose one in 239.0.0.0/8, or an IPv6 one such as ff15::6779",
            group.ip()
        ));
    }
    match group.port() {
        0 => Err("the multicast port is 0: all nodes have to know it, so name one".into()),
        65_535 => Err("the multicast port 65535 leaves no room for the bench, one above: choose a smaller one".into()),
        _ => Ok(()),
    }
}

fn check_range<T: PartialOrd + fmt::Debug>(what: &str, value: T, least: T, most: T) -> Result<(), String> {
    if value < least || value > most {
        return Err(format!("{what} is {value:?}: choose {least:?} to {most:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        let b = NetConfig::builder;
        let cases = [
            (b().multicast("10.0.0.1:6779".parse().unwrap()), "no multicast address"),
            (b().multicast("239.1.1.1:65535".parse().unwrap()), "no room for the bench"),
            (b().multicast("239.1.1.1:0".parse().unwrap()), "port is 0"),
            (b().interface(""), "empty"),
            (b().interface("10.0.0.0/33"), "10.0.0.0/33"),
            (b().seed("host"), "isn't HOST:PORT"),
            (b().seed("fd00::1:x"), "isn't HOST:PORT"),
            (b().seed("host:0"), "port 0"),
            (b().admin("nowhere"), "admin address"),
            (b().advertise(":1"), "advertised address"),
            (b().receive_buffer(1), "receive_buffer"),
            (b().connect_timeout(Duration::ZERO), "connect_timeout"),
        ];
        for (builder, part) in cases {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
    }

    #[test]
    fn places_are_numeric_or_names() {
        assert_eq!(Place::parse("[::1]:5"), Some(Place::Addr("[::1]:5".parse().unwrap())));
        assert_eq!(Place::parse("a.b:5"), Some(Place::Name("a.b".into(), 5)));
        assert_eq!(Place::parse("a.b:70000"), None);
    }

    #[test]
    fn the_bench_is_one_port_above() {
        let config = NetConfig::builder().multicast("[ff15::1]:100".parse().unwrap()).build().unwrap();
        assert_eq!(config.bench_port(), 101);
        assert_eq!(NetConfig::builder().no_multicast().build().unwrap().bench_port(), 6780);
    }
}
