//! The seeds: numeric ones are used at once, names after they were resolved anew.

use super::config::Place;
use super::notice::NetNotice;
use super::resolve::Resolver;
use crate::types::Time;
use mio::Waker;
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
    /// The number of the first of them: those of earlier lists are answered by nobody any more.
    base: usize,
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
    pub(super) fn new(places: &[Place], waker: &Arc<Waker>) -> io::Result<Self> {
        let mut seeds = Self { list: Vec::new(), resolver: None, base: 0 };
        seeds.prepare(places, waker)?;
        seeds.replace(places);
        Ok(seeds)
    }

    /// Has a resolver where one of these needs it.
    pub(super) fn prepare(&mut self, places: &[Place], waker: &Arc<Waker>) -> io::Result<()> {
        let named = places.iter().any(|p| matches!(p, Place::Name(..)));
        if named && self.resolver.is_none() {
            self.resolver = Some(Resolver::start(Arc::clone(waker))?);
        }
        Ok(())
    }

    /// These and no others from now on. What waits for the old ones is dropped.
    pub(super) fn replace(&mut self, places: &[Place]) {
        let seed = |place: &Place| Seed { place: place.clone(), waiting: None, asked: false, unresolved: false };
        self.base += self.list.len();
        self.list = places.iter().map(seed).collect();
    }

    /// The families of the numeric seeds: true for IPv6.
    pub(super) fn families(&self) -> impl Iterator<Item = bool> {
        self.list.iter().filter_map(|s| match &s.place {
            Place::Addr(a) => Some(a.is_ipv6()),
            Place::Name(..) => None,
        })
    }

    /// The addresses that something can be sent to now; names are asked for, and it waits for them.
    pub(super) fn ask(&mut self, now: Time, bytes: &[u8]) -> Vec<SocketAddr> {
        let mut known = Vec::new();
        for (number, seed) in self.list.iter_mut().enumerate() {
            match &seed.place {
                Place::Addr(addr) => known.push(*addr),
                Place::Name(host, port) => {
                    seed.waiting = Some((now, bytes.to_vec()));
                    if !seed.asked {
                        seed.asked = self.resolver.as_ref().is_some_and(|r| r.ask(self.base + number, host, *port));
                    }
                }
            }
        }
        known
    }

    /// What the resolver found next.
    pub(super) fn answer(&mut self, now: Time) -> Option<Answer> {
        let (seed, found) = loop {
            let (number, found) = self.resolver.as_ref()?.answer()?;
            // The resolver gives back the numbers that it was given.
            if let Some(at) = number.checked_sub(self.base).filter(|at| *at < self.list.len()) {
                break (self.list.get_mut(at)?, found);
            }
        };
        seed.asked = false;
        let waiting = seed.waiting.take().filter(|(since, _)| now - *since <= PATIENCE).map(|(_, bytes)| bytes);
        let was_unresolved = std::mem::replace(&mut seed.unresolved, found.is_err());
        let name = seed.place.to_string();
        let (addrs, notice) = match found {
            Ok(addrs) => (addrs, was_unresolved.then_some(NetNotice::SeedResolved(name))),
            Err(why) => (Vec::new(), (!was_unresolved).then_some(NetNotice::SeedUnresolved(name, why))),
        };
        Some(Answer { addrs, waiting, notice })
    }
}

/// What became of a seed's name.
pub(super) struct Answer {
    /// Its addresses; none where there are none.
    pub(super) addrs: Vec<SocketAddr>,
    /// What waited to be sent there.
    pub(super) waiting: Option<Vec<u8>>,
    /// What there is to tell of it.
    pub(super) notice: Option<NetNotice>,
}
