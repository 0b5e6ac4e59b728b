//! Which interfaces there are, and which of them were chosen.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What an embedder names interfaces by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// A name, or a glob of names with `*` and `?`.
    Name(String),
    /// Addresses that share this many leading bits.
    Cidr(IpAddr, u8),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an interface's name is empty: give a name, a glob such as eth*, or a CIDR".into());
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Cidr(ip, if ip.is_ipv4() { 32 } else { 128 }));
        }
        let Some((ip, bits)) = text.split_once('/') else { return Ok(Self::Name(text.into())) };
        let bad = || format!("the interface {text:?} isn't a CIDR: write 10.1.0.0/16 or fd00::/8");
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        if bits > if ip.is_ipv4() { 32 } else { 128 } {
            return Err(bad());
        }
        Ok(Self::Cidr(ip, bits))
    }

    pub(crate) fn matches(&self, iface: &Iface) -> bool {
        match self {
            Self::Name(glob) => glob_matches(glob.as_bytes(), iface.name.as_bytes()),
            Self::Cidr(ip, bits) => same_network(*ip, iface.ip, *bits),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Cidr(ip, bits) => write!(f, "{ip}/{bits}"),
        }
    }
}

/// Matches `*` (any run of characters) and `?` (one character), remembering only the last `*`: linear for all practical names.
fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    g = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}

/// True where both addresses are of one family and share the leading `bits`.
pub(crate) fn same_network(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    let shift = |width: u8| u32::from(width - bits.min(width));
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0,
        _ => false,
    }
}

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Iface {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) ip: IpAddr,
    pub(crate) prefix: u8,
    /// The broadcast address of its network, where it has one.
    pub(crate) broadcast: Option<Ipv4Addr>,
    /// Up, and with a carrier: by one that has none nothing comes or goes.
    pub(crate) up: bool,
}

impl Iface {
    /// Its address with a port, and with the scope where the address needs one.
    pub(crate) fn socket_addr(&self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, self.index).into(),
            ip => SocketAddr::new(ip, port),
        }
    }

    /// True where this address lies in its network.
    pub(crate) fn reaches(&self, ip: IpAddr) -> bool {
        same_network(self.ip, ip, self.prefix)
    }

    fn is_link_local(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
    }
}

/// All addresses of all interfaces, read at most `max_age` ago.
///
/// The list is shared by all nodes of a process: thousands of them in one would otherwise read it thousands of times.
pub(crate) fn list(max_age: Duration) -> io::Result<Arc<Vec<Iface>>> {
    static LAST: Mutex<Option<(Instant, Arc<Vec<Iface>>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, list)) = &*last
        && at.elapsed() < max_age
    {
        return Ok(Arc::clone(list));
    }
    let list = Arc::new(read()?);
    *last = Some((Instant::now(), Arc::clone(&list)));
    Ok(list)
}

fn read() -> io::Result<Vec<Iface>> {
    let found = if_addrs::get_if_addrs()?;
    let iface = |i: if_addrs::Interface| {
        let up = i.is_oper_up();
        let (ip, prefix, broadcast) = match &i.addr {
            if_addrs::IfAddr::V4(a) => (IpAddr::V4(a.ip), a.prefixlen, a.broadcast),
            if_addrs::IfAddr::V6(a) => (IpAddr::V6(a.ip), a.prefixlen, None),
        };
        i.index.map(|index| Iface { name: i.name, index, ip, prefix, broadcast, up })
    };
    Ok(found.into_iter().filter_map(iface).collect())
}

/// The chosen addresses of one family: one for each interface that is up, in the order of the patterns; without patterns those of
/// loopback. A link-local address is taken only where the interface has no other that matches.
pub(crate) fn choose(patterns: &[Pattern], all: &[Iface], v6: bool) -> Vec<Iface> {
    let mut chosen: Vec<Iface> = Vec::new();
    let mut take = |wanted: &dyn Fn(&Iface) -> bool| {
        for iface in all.iter().filter(|i| i.up && i.ip.is_ipv6() == v6 && wanted(i)) {
            match chosen.iter_mut().find(|c| c.index == iface.index) {
                Some(c) if c.is_link_local() && !iface.is_link_local() => *c = iface.clone(),
                Some(_) => {}
                None => chosen.push(iface.clone()),
            }
        }
    };
    if patterns.is_empty() {
        take(&|i| i.ip.is_loopback());
    }
    for pattern in patterns {
        take(&|i| pattern.matches(i));
    }
    chosen
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn iface(name: &str, index: u32, ip: &str, prefix: u8) -> Iface {
        Iface { name: name.into(), index, ip: ip.parse().unwrap(), prefix, broadcast: None, up: true }
    }

    #[test]
    fn globs() {
        let yes =
            [("eth0", "eth0"), ("eth*", "eth10"), ("e?h0", "eth0"), ("*", ""), ("*0", "eth00"), ("a*b*c", "axbxbc")];
        let no = [("eth0", "eth01"), ("eth?", "eth"), ("*1", "eth0"), ("", "x"), ("a*b*c", "axbxb")];
        assert!(yes.iter().all(|(g, n)| glob_matches(g.as_bytes(), n.as_bytes())));
        assert!(!no.iter().any(|(g, n)| glob_matches(g.as_bytes(), n.as_bytes())));
    }

    #[test]
    fn networks() {
        let same = |a: &str, b: &str, bits| same_network(a.parse().unwrap(), b.parse().unwrap(), bits);
        assert!(same("10.1.2.3", "10.1.9.9", 16));
        assert!(!same("10.1.2.3", "10.2.9.9", 16));
        assert!(same("10.1.2.3", "99.2.9.9", 0), "no bits in common are asked for");
        assert!(same("fd00::1", "fd00::2", 64) && !same("fd00::1", "fd00::2", 128));
        assert!(!same("::1", "127.0.0.1", 0), "families don't mix");
    }

    #[test]
    fn without_patterns_it_is_loopback_only() {
        let all = [iface("lo", 1, "127.0.0.1", 8), iface("lo", 1, "::1", 128), iface("eth0", 2, "10.0.0.1", 24)];
        let ips = |v6| choose(&[], &all, v6).iter().map(|i| i.ip.to_string()).collect::<Vec<_>>();
        assert_eq!(ips(false), ["127.0.0.1"]);
        assert_eq!(ips(true), ["::1"]);
    }

    #[test]
    fn one_address_for_each_interface_in_the_order_of_the_patterns() {
        let all = [
            iface("eth0", 2, "fe80::1", 64),
            iface("eth0", 2, "fd00::1", 64),
            iface("eth1", 3, "fe80::2", 64),
            iface("eth0", 2, "10.0.0.1", 24),
            iface("eth0", 2, "10.0.1.1", 24),
        ];
        let patterns = [Pattern::parse("eth1").unwrap(), Pattern::parse("eth*").unwrap()];
        let ips: Vec<_> = choose(&patterns, &all, true).iter().map(|i| i.ip.to_string()).collect();
        assert_eq!(ips, ["fe80::2", "fd00::1"]);
        let second = [Pattern::parse("10.0.1.0/24").unwrap()];
        assert_eq!(choose(&second, &all, false)[0].ip.to_string(), "10.0.1.1");
        assert_eq!(choose(&patterns, &all, true)[0].socket_addr(5), "[fe80::2%3]:5".parse().unwrap());
    }

    #[test]
    fn this_machine_has_loopback() {
        let all = list(Duration::ZERO).unwrap();
        assert!(!choose(&[], &all, false).is_empty());
    }
}
