//! Sending to seeds: numeric ones at once, names after they were resolved anew.

use super::config::Place;
use super::resolve::Resolver;
use super::{Net, NetNotice};
use crate::types::Time;
use mio::{Registry, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a datagram waits for its seed's name. Later it would tell old news.
const PATIENCE: Duration = Duration::from_secs(10);

/// The seeds, and what waits for the resolver.
pub(super) struct Seeds {
    list: Vec<Seed>,
    resolver: Option<Resolver>,
}

struct Seed {
    place: Place,
    /// What shall be sent to it once its name is resolved, and when that was asked for. One at a time: a newer one
    /// takes its place.
    waiting: Option<(Time, Vec<u8>)>,
    asked: bool,
    unresolved: bool,
}

impl Seeds {
    pub(super) fn new(places: &[Place], registry: &Registry, token: Token) -> io::Result<Self> {
        let named = places.iter().any(|p| matches!(p, Place::Name(..)));
        let resolver = if named { Some(Resolver::start(Arc::new(Waker::new(registry, token)?))?) } else { None };
        let seed = |place: &Place| Seed { place: place.clone(), waiting: None, asked: false, unresolved: false };
        Ok(Self { list: places.iter().map(seed).collect(), resolver })
    }

    /// The families of the numeric seeds: true for IPv6.
    pub(super) fn families(&self) -> impl Iterator<Item = bool> {
        self.list.iter().filter_map(|s| match &s.place {
            Place::Addr(a) => Some(a.is_ipv6()),
            Place::Name(..) => None,
        })
    }
}

impl Net {
    /// Sends to each seed other than this node itself.
    pub fn send_seeds(&mut self, now: Time, bytes: &[u8]) {
        for number in 0..self.seeds.list.len() {
            let seed = &mut self.seeds.list[number];
            match &seed.place {
                Place::Addr(addr) => {
                    let addr = *addr;
                    self.send_seed(addr, bytes);
                }
                Place::Name(host, port) => {
                    seed.waiting = Some((now, bytes.to_vec()));
                    if !seed.asked {
                        seed.asked = self.seeds.resolver.as_ref().is_some_and(|r| r.ask(number, host, *port));
                    }
                }
            }
        }
    }

    fn send_seed(&mut self, addr: SocketAddr, bytes: &[u8]) {
        let me = addr == self.local || Some(addr) == self.advertised || self.is_own(addr);
        if !me {
            self.send_to(addr, bytes);
        }
    }

    /// Takes what the resolver found, and sends what waited for it.
    pub(super) fn take_answers(&mut self, now: Time) {
        while let Some((number, found)) = self.seeds.resolver.as_ref().and_then(Resolver::answer) {
            let Some(seed) = self.seeds.list.get_mut(number) else { continue };
            seed.asked = false;
            let waiting = seed.waiting.take().filter(|(since, _)| now - *since <= PATIENCE);
            let name = seed.place.to_string();
            let was_unresolved = std::mem::replace(&mut seed.unresolved, found.is_err());
            match found {
                Err(why) if !was_unresolved => self.notify(NetNotice::SeedUnresolved(name, why)),
                Err(_) => {}
                Ok(addrs) => {
                    if was_unresolved {
                        self.notify(NetNotice::SeedResolved(name));
                    }
                    let Some((_, bytes)) = waiting else { continue };
                    for addr in addrs {
                        self.want_family(addr.is_ipv6());
                        self.send_seed(addr, &bytes);
                    }
                }
            }
        }
    }
}
