//! The network between the hosts: delay, loss, duplication, corruption, and who can't reach whom.

use super::rng::Rng;
use super::walls::Walls;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a link treats what passes over it. Probabilities are in parts per million.
///
/// ```
/// use convoke::sim::Conditions;
/// let poor = Conditions { loss_ppm: 50_000, ..Conditions::default() };
/// assert!(!poor.is_plain() && Conditions::default().is_plain());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// How long everything takes (100 µs).
    pub delay: Duration,
    /// How much longer it may take at most, drawn for each datagram (0). Alone it reorders what is sent close together.
    pub jitter: Duration,
    /// Datagrams lost. A stream's bytes come a retransmission later instead.
    pub loss_ppm: u32,
    /// Multicast datagrams lost, besides those.
    pub multicast_loss_ppm: u32,
    /// Datagrams that come twice, the second one later by up to [`Conditions::straggle`].
    pub duplicate_ppm: u32,
    /// Datagrams that come later by up to [`Conditions::straggle`].
    pub reorder_ppm: u32,
    /// Datagrams of which some bits are flipped.
    pub corrupt_ppm: u32,
    /// How late a straggler comes at most (50 ms).
    pub straggle: Duration,
    /// True: a stream's bytes come in pieces that have nothing to do with how they were sent.
    pub segmented: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(100),
            jitter: Duration::ZERO,
            loss_ppm: 0,
            multicast_loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            corrupt_ppm: 0,
            straggle: Duration::from_millis(50),
            segmented: false,
        }
    }
}

impl Conditions {
    /// True where nothing is left to chance.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.jitter.is_zero()
            && self.loss_ppm | self.multicast_loss_ppm | self.duplicate_ppm | self.reorder_ppm | self.corrupt_ppm == 0
    }
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// After how many microseconds it comes; nothing where it is lost.
    pub(super) first: Option<u64>,
    /// After how many it comes again.
    pub(super) second: Option<u64>,
    pub(super) corrupt: bool,
    pub(super) straggles: bool,
}

/// What of a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything.
    All,
    /// Streams only: small datagrams pass and the rest doesn't, as beyond a path-MTU hole.
    Streams,
    /// Datagrams only.
    Datagrams,
}

/// A square of bits: from whom to whom.
#[derive(Debug, Default)]
struct Square {
    side: usize,
    bits: Vec<u64>,
    set: usize,
}

impl Square {
    fn get(&self, from: u32, to: u32) -> bool {
        if self.set == 0 || from as usize >= self.side || to as usize >= self.side {
            return false;
        }
        let at = from as usize * self.side + to as usize;
        self.bits[at / 64] & (1 << (at % 64)) != 0
    }

    fn put(&mut self, hosts: usize, from: u32, to: u32, on: bool) {
        if self.side < hosts {
            let old = std::mem::take(self);
            self.side = hosts;
            self.bits = vec![0; (hosts * hosts).div_ceil(64)];
            for from in 0..old.side as u32 {
                for to in 0..old.side as u32 {
                    if old.get(from, to) {
                        self.put(hosts, from, to, true);
                    }
                }
            }
        }
        if self.get(from, to) != on {
            let at = from as usize * self.side + to as usize;
            self.bits[at / 64] ^= 1 << (at % 64);
            if on { self.set += 1 } else { self.set -= 1 }
        }
    }

    fn clear(&mut self) {
        self.bits.fill(0);
        self.set = 0;
    }
}

/// The network.
#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) conditions: Conditions,
    links: BTreeMap<(u32, u32), Conditions>,
    no_datagrams: Square,
    no_streams: Square,
    deaf: Vec<bool>,
    any_deaf: bool,
    pub(super) walls: Walls,
}

impl Net {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self { conditions, ..Self::default() }
    }

    /// One host more.
    pub(super) fn add_host(&mut self) {
        self.deaf.push(false);
    }

    /// Gives one direction of one link conditions of its own, or takes them away.
    pub(super) fn link(&mut self, from: u32, to: u32, conditions: Option<Conditions>) {
        match conditions {
            Some(c) => self.links.insert((from, to), c),
            None => self.links.remove(&(from, to)),
        };
    }

    pub(super) fn cut(&mut self, from: u32, to: u32, what: Cut, on: bool) {
        let hosts = self.deaf.len();
        if from == to {
            return;
        }
        if what != Cut::Streams {
            self.no_datagrams.put(hosts, from, to, on);
        }
        if what != Cut::Datagrams {
            self.no_streams.put(hosts, from, to, on);
        }
    }

    /// Takes all cuts, deafness and links of their own away.
    pub(super) fn heal(&mut self) {
        self.no_datagrams.clear();
        self.no_streams.clear();
        self.deaf.fill(false);
        self.any_deaf = false;
        self.links.clear();
    }

    pub(super) fn set_deaf(&mut self, host: u32, on: bool) {
        self.deaf[host as usize] = on;
        self.any_deaf = self.deaf.contains(&true);
    }

    pub(super) fn is_deaf(&self, host: u32) -> bool {
        self.any_deaf && self.deaf[host as usize]
    }

    pub(super) fn passes_datagrams(&self, from: u32, to: u32) -> bool {
        !self.no_datagrams.get(from, to)
    }

    pub(super) fn passes_streams(&self, from: u32, to: u32) -> bool {
        !self.no_streams.get(from, to)
    }

    /// True where a multicast datagram meets the same fate at all hosts: one plan will do for all.
    pub(super) fn is_uniform(&self) -> bool {
        self.conditions.is_plain() && self.links.is_empty() && self.no_datagrams.set == 0 && !self.any_deaf
    }

    /// The conditions of one direction of one link.
    pub(super) fn on(&self, from: u32, to: u32) -> &Conditions {
        if self.links.is_empty() {
            return &self.conditions;
        }
        self.links.get(&(from, to)).unwrap_or(&self.conditions)
    }

    /// Decides what becomes of a datagram; cuts are looked at apart from this.
    pub(super) fn fate(&self, rng: &mut Rng, from: u32, to: u32, multicast: bool) -> Fate {
        let c = self.on(from, to);
        let straggle = c.straggle.as_micros() as u64;
        let mut delay = travel(c, rng);
        let straggles = rng.chance(c.reorder_ppm);
        if straggles {
            delay += rng.below(straggle);
        }
        let lost = rng.chance(c.loss_ppm) || multicast && rng.chance(c.multicast_loss_ppm);
        let second = rng.chance(c.duplicate_ppm).then(|| delay + rng.below(straggle));
        Fate { first: (!lost).then_some(delay), second, corrupt: rng.chance(c.corrupt_ppm), straggles }
    }
}

/// How long one passage takes.
pub(super) fn travel(c: &Conditions, rng: &mut Rng) -> u64 {
    let jitter = c.jitter.as_micros() as u64;
    c.delay.as_micros() as u64 + if jitter == 0 { 0 } else { rng.below(jitter + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(hosts: usize) -> Net {
        let mut net = Net::default();
        (0..hosts).for_each(|_| net.add_host());
        net
    }

    #[test]
    fn cuts_have_a_direction_and_a_kind_and_survive_growth() {
        let mut n = net(3);
        assert!(n.is_uniform());
        n.cut(0, 1, Cut::All, true);
        n.cut(1, 2, Cut::Streams, true);
        n.cut(2, 2, Cut::All, true);
        n.add_host();
        n.cut(3, 0, Cut::Datagrams, true);
        let passes = |n: &Net, a, b| (n.passes_datagrams(a, b), n.passes_streams(a, b));
        assert_eq!(passes(&n, 0, 1), (false, false));
        assert_eq!(passes(&n, 1, 0), (true, true));
        assert_eq!(passes(&n, 1, 2), (true, false));
        assert_eq!(passes(&n, 3, 0), (false, true));
        assert_eq!(passes(&n, 2, 2), (true, true), "a host always reaches itself");
        assert!(!n.is_uniform());
        n.cut(0, 1, Cut::All, false);
        assert_eq!(passes(&n, 0, 1), (true, true));
        n.heal();
        assert!(n.is_uniform() && passes(&n, 1, 2) == (true, true));
    }

    #[test]
    fn the_rates_of_faults_are_those_asked_for() {
        let mut n = net(2);
        let plain = n.fate(&mut Rng::new(1), 0, 1, true);
        assert_eq!(plain, Fate { first: Some(100), second: None, corrupt: false, straggles: false });
        let poor = Conditions {
            loss_ppm: 100_000,
            multicast_loss_ppm: 500_000,
            duplicate_ppm: 200_000,
            corrupt_ppm: 300_000,
            reorder_ppm: 400_000,
            jitter: Duration::from_micros(900),
            ..Conditions::default()
        };
        n.link(0, 1, Some(poor));
        let mut rng = Rng::new(3);
        let fates: Vec<_> = (0..20_000).map(|i| n.fate(&mut rng, 0, 1, i % 2 == 0)).collect();
        let share = |f: &dyn Fn(&Fate) -> bool| fates.iter().filter(|x| f(x)).count() as f64 / 20_000.0;
        assert!((share(&|f| f.first.is_none()) - 0.325).abs() < 0.02);
        assert!((share(&|f| f.second.is_some()) - 0.2).abs() < 0.02);
        assert!((share(&|f| f.corrupt) - 0.3).abs() < 0.02);
        assert!((share(&|f| f.straggles) - 0.4).abs() < 0.02);
        assert!(fates.iter().filter_map(|f| f.first).all(|d| (100..51_000).contains(&d)));
        assert_eq!(n.fate(&mut rng, 1, 0, false).first, Some(100), "the other direction is untouched");
    }
}
