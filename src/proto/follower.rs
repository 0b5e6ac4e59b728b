//! A node's own way into a convention and its bond to the leader: seeking, registering, following, beating.
//!
//! Properties: searches and registrations go out at a bounded rate, with jitter and exponential back-off; nothing padded
//! goes to an address that neither answered this node nor stands in the roll; terms never go back within a lineage.

use super::border::{Dest, Lane};
use super::planted::{Bug, Planted};
use super::rng::Rng;
use crate::types::{Generation, Lineage, Position, Slot, Term, Time, VoterTag};
use crate::wire::{Beat, Datagram, Heartbeat, Probe, SeatRef, View};
use std::net::SocketAddr;
use std::time::Duration;

/// This node's place on the roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) lineage: Lineage,
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    /// The revision of the capabilities that is committed.
    pub(super) revision: u32,
    /// The place of the last broadcast before.
    pub(super) since: Position,
}

/// The leadership that this node hears or was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bond {
    pub(super) lineage: Lineage,
    pub(super) term: Term,
    pub(super) leader: VoterTag,
    pub(super) addr: SocketAddr,
    /// The number of the last heartbeat; zero where none was heard yet.
    pub(super) number: u32,
    pub(super) heard: Time,
    /// When the number of those that came by multicast moved last, and that number.
    multicast: Time,
    multicast_number: u32,
    /// The address answered this node, or stands in the line.
    verified: bool,
    /// The question that the address has to answer.
    token: (u32, u16, u16),
    /// How many bytes may still go to the address while it isn't verified: as many as came from it in heartbeats. Else
    /// one heartbeat with somebody else's address in it would be answered for ever.
    credit: u16,
}

/// The bytes of a heartbeat, of a voter's acknowledgement of it, of a goodbye, and of a beat or a probe.
const HEARTBEAT: u16 = 64;
const ACK: u16 = 40;
const LEAVE: u16 = 36;
const SMALL: u16 = 24;

impl Bond {
    /// True where its address is known to be that of the leader.
    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    /// True where a frame of so many bytes may go to the leader's address.
    fn pays(&mut self, bytes: u16) -> bool {
        let left = self.credit.checked_sub(bytes);
        self.credit = left.unwrap_or(self.credit);
        self.verified || left.is_some()
    }
}

/// What an address has to echo.
fn token(rng: &mut Rng) -> (u32, u16, u16) {
    let n = rng.nonzero();
    (n as u32, (n >> 32) as u16, (n >> 48) as u16)
}

/// What a heartbeat is measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The roll or the line tells that its source is the leader's address.
    pub(super) known: bool,
    /// The node's lineage; zero where it has none.
    pub(super) ours: Lineage,
    /// The highest term that it saw.
    pub(super) seen: Term,
}

/// What a heartbeat was to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The leader's next one.
    Fresh,
    /// The first of a leadership that is new to this node.
    NewLeader,
    /// A copy, or one that was overtaken.
    Stale,
    /// Of another lineage than this node's.
    Foreign,
    /// Of a term beyond belief.
    Leap,
}

/// What the follower wants sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Ask everywhere who leads: which attempt.
    Seek(u16),
    /// Ask the leader for its view of the line.
    Refresh(SocketAddr),
    /// Register at this address.
    Join(SocketAddr),
}

#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) registration: Option<Registration>,
    /// It was on the roll since it started, or since it left another lineage.
    placed: bool,
    /// A place on the roll that the leader knows nothing of.
    disowned: Option<(Lineage, Slot, Generation)>,
    /// The lineage that it registered in, until it leaves it for another.
    pub(super) home: Lineage,
    pub(super) view: Option<View>,
    /// Somebody of another lineage sought from here: whom that one follows, or that it leads, it says where it is asked.
    pub(super) hint: Option<std::net::SocketAddr>,
    /// Who was asked so: the next time it gets an answer instead.
    pub(super) asked_back: Option<std::net::SocketAddr>,
    bond: Option<Bond>,
    pub(super) nonce: u64,
    heard: u16,
    next_beat: Time,
    next_seek: Time,
    attempt: u16,
    next_join: Time,
    joins: u32,
    refresh_at: Time,
    interval: Duration,
    detection: Duration,
    longest_pause: Duration,
    /// When the leader may be told again of somebody who was in a later term.
    next_plea: Time,
    /// Told once that multicast doesn't come.
    pub(super) told_deaf: bool,
    pub(super) bug: Planted,
    rng: Rng,
}

impl Follower {
    pub(super) fn new(now: Time, interval: Duration, detection: Duration, votes: bool, mut rng: Rng) -> Self {
        // Members listen for a heartbeat first: it is at most an interval away, and costs nobody a packet.
        let first = if votes { rng.up_to(interval / 8) } else { interval + rng.up_to(interval / 2) };
        Self {
            registration: None,
            placed: false,
            disowned: None,
            home: Lineage::ZERO,
            view: None,
            hint: None,
            asked_back: None,
            bond: None,
            nonce: rng.nonzero(),
            heard: 0,
            next_beat: now,
            next_seek: now + first,
            attempt: 0,
            next_join: now,
            joins: 0,
            refresh_at: Time::NEVER,
            interval,
            detection,
            longest_pause: interval * if votes { 2 } else { 8 },
            next_plea: now,
            told_deaf: false,
            bug: Planted::default(),
            rng,
        }
    }

    /// True where it was on the roll since it started, or since it left another lineage.
    pub(super) fn was_placed(&self) -> bool {
        self.placed
    }

    pub(super) fn bond(&self) -> Option<&Bond> {
        self.bond.as_ref()
    }

    /// Where the leader is asked for things, once its address is known to be its own, and in which term it leads.
    pub(super) fn addressee(&self) -> Option<(SocketAddr, Term)> {
        self.bond.filter(|b| b.verified && self.registration.is_some()).map(|b| (b.addr, b.term))
    }

    pub(super) fn heard_multicast(&self) -> u16 {
        self.heard
    }

    /// This node was late itself: it waits longer for the leader.
    pub(super) fn excuse(&mut self, now: Time, lateness: Duration) {
        if let Some(b) = &mut self.bond {
            b.heard = (b.heard + lateness.min(self.detection)).min(now);
        }
    }

    /// How often it has asked in vain.
    pub(super) fn attempts(&self) -> u16 {
        self.attempt
    }

    /// True where there is, or just was, a leader.
    pub(super) fn is_bound(&self, now: Time) -> bool {
        self.bond.is_some_and(|b| now - b.heard <= self.detection * 2)
    }

    /// True where the leader was heard within this time.
    pub(super) fn hears(&self, now: Time, within: Duration) -> bool {
        self.bond.is_some_and(|b| b.number > 0 && now - b.heard <= within)
    }

    /// The leader's place in the line as this node was told it.
    pub(super) fn seat(&self, tag: VoterTag) -> Option<&SeatRef> {
        self.view.as_ref().and_then(|v| v.line.iter().find(|s| s.voter == tag))
    }

    /// It votes from now on, or doesn't: who votes asks more often.
    pub(super) fn stand(&mut self, votes: bool) {
        self.longest_pause = self.interval * if votes { 2 } else { 8 };
    }

    /// Forgets lineage, leader and registration.
    pub(super) fn reset(&mut self, now: Time) {
        self.registration = None;
        self.placed = false;
        self.home = Lineage::ZERO;
        self.view = None;
        self.bond = None;
        self.joins = 0;
        self.next_seek = now + self.rng.up_to(self.interval / 4);
        self.attempt = 0;
        self.refresh_at = Time::NEVER;
        self.nonce = self.rng.nonzero();
    }

    /// Its lineage goes on in a child: its place on the roll is the same there.
    pub(super) fn move_to(&mut self, child: Lineage) {
        self.home = child;
        self.registration = self.registration.map(|r| Registration { lineage: child, ..r });
        self.disowned = None;
        self.nonce = self.rng.nonzero();
    }

    /// True where the leader may be told now of somebody who was in a later term: once each detection time.
    pub(super) fn pleads(&mut self, now: Time) -> bool {
        let due = now >= self.next_plea;
        if due {
            self.next_plea = now + self.detection;
        }
        due
    }

    /// Others are heard, and not its own leader: it asks soon.
    pub(super) fn wonder(&mut self, now: Time) {
        if self.attempt < 4 {
            self.next_seek = self.next_seek.min(now + self.rng.up_to(self.interval / 2));
        }
    }

    /// The leader knows nothing of this registration: what an old roll says of it is void too.
    pub(super) fn disown(&mut self, now: Time) {
        self.disowned = self.registration.map(|r| (r.lineage, r.slot, r.generation));
        self.unregister(now);
    }

    /// True where the leader said that it knows nothing of this registration.
    pub(super) fn is_disowned(&self, r: &Registration) -> bool {
        self.disowned == Some((r.lineage, r.slot, r.generation))
    }

    /// The registration is void: another one is needed soon.
    pub(super) fn unregister(&mut self, now: Time) {
        self.registration = None;
        self.joins = 0;
        self.next_join = now;
        self.nonce = self.rng.nonzero();
    }

    /// Forgets whom it followed, as one that resigned or lost its leader.
    pub(super) fn unbind(&mut self, now: Time) {
        if self.bond.take().is_some() {
            self.attempt = 0;
            self.next_seek = now + self.interval / 4 + self.rng.up_to(self.interval / 2);
        }
    }

    /// Takes a leader's heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        now: Time,
        beat: &Heartbeat,
        (from, lane): (SocketAddr, Lane),
        Expected { known, ours, seen }: Expected,
    ) -> Heard {
        if ours != Lineage::ZERO && beat.lineage != ours {
            return Heard::Foreign;
        }
        if beat.term.0.saturating_sub(seen.0) > 1 << 32 && !self.bug.has(Bug::BelieveAnyTerm) {
            return Heard::Leap;
        }
        match &self.bond {
            Some(b) if b.lineage == beat.lineage && beat.term < b.term => return Heard::Stale,
            Some(b) if b.lineage == beat.lineage && beat.term == b.term => {}
            // One that belongs nowhere yet stays with the first that it heard.
            Some(b) if b.lineage != beat.lineage && now - b.heard < self.detection => return Heard::Foreign,
            _ => return self.new_bond(now, beat, from, lane, known),
        }
        let Some(bond) = &mut self.bond else { return Heard::Stale };
        if (lane == Lane::Floor || self.bug.has(Bug::UnicastIsMulticast)) && beat.number > bond.multicast_number {
            bond.multicast = now;
            bond.multicast_number = beat.number;
            self.heard = beat.number as u16;
        }
        if beat.number <= bond.number {
            if bond.addr == from {
                // A copy is acknowledged as well, so it pays as well.
                bond.credit = (bond.credit + HEARTBEAT).min(4 * HEARTBEAT);
            }
            return Heard::Stale;
        }
        let first = bond.number == 0;
        // After a silence it may be off the roll: what its beat finds is soon known.
        let silent = now - bond.heard > self.detection;
        bond.number = beat.number;
        bond.leader = beat.leader;
        bond.heard = now;
        if bond.addr != from {
            bond.addr = from;
            bond.verified = known;
            bond.credit = 0;
            // The old address was asked by the old one.
            bond.token = token(&mut self.rng);
        }
        bond.credit = (bond.credit + HEARTBEAT).min(4 * HEARTBEAT);
        bond.verified |= known;
        self.attempt = 0;
        self.next_seek = self.next_seek.max(now + self.detection);
        if silent {
            self.next_beat = self.next_beat.min(now + self.rng.up_to(self.interval / 16));
        }
        if first { Heard::NewLeader } else { Heard::Fresh }
    }

    /// Where to say goodbye.
    pub(super) fn farewell(&mut self) -> Option<(Registration, SocketAddr)> {
        let (registration, bond) = (self.registration?, self.bond.as_mut()?);
        bond.pays(LEAVE).then_some((registration, bond.addr))
    }

    /// This node acknowledged a heartbeat, as a voter.
    pub(super) fn acknowledged(&mut self) {
        if let Some(bond) = &mut self.bond {
            bond.credit = bond.credit.saturating_sub(ACK);
        }
    }

    fn new_bond(&mut self, now: Time, beat: &Heartbeat, from: SocketAddr, lane: Lane, known: bool) -> Heard {
        let token = token(&mut self.rng);
        self.heard = if lane == Lane::Floor { beat.number as u16 } else { 0 };
        self.bond = Some(Bond {
            lineage: beat.lineage,
            term: beat.term,
            leader: beat.leader,
            addr: from,
            number: beat.number,
            heard: now,
            multicast: now,
            multicast_number: if lane == Lane::Floor { beat.number } else { 0 },
            verified: known,
            token,
            credit: HEARTBEAT,
        });
        self.attempt = 0;
        self.next_seek = now + self.detection;
        // A whole site that hears its first leader must not register in the same millisecond.
        self.next_join = now + self.rng.up_to(self.interval / 16);
        if self.registration.is_some() {
            self.next_beat = self.next_beat.min(self.next_join);
        }
        Heard::NewLeader
    }

    /// Was told of a leader by one that answered this node's question, so its word is good for the address.
    pub(super) fn told(&mut self, now: Time, view: &View) {
        let Some(leader) = view.leader else { return };
        let Some(seat) = view.line.iter().find(|s| s.voter == leader) else { return };
        let newer = self.bond.is_none_or(|b| {
            let silent = b.number == 0 || now - b.heard > self.detection;
            let moved = b.leader != leader || b.addr != seat.addr;
            b.lineage != view.lineage || b.term < view.term || (b.term == view.term && silent && moved)
        });
        if newer {
            let token = token(&mut self.rng);
            self.bond = Some(Bond {
                lineage: view.lineage,
                term: view.term,
                leader,
                addr: seat.addr,
                number: 0,
                heard: now,
                multicast: now,
                multicast_number: 0,
                verified: true,
                token,
                credit: 0,
            });
            self.next_join = now;
        } else if let Some(b) = &mut self.bond
            && b.leader == leader
            && b.addr == seat.addr
        {
            b.verified = true;
        }
    }

    /// The leader's address answered the question that it was asked.
    pub(super) fn verify(&mut self, from: SocketAddr, probe: &Probe) -> bool {
        match &mut self.bond {
            Some(b)
                if b.addr == from
                    && b.token != (0, 0, 0)
                    && b.token == (probe.slot.0, probe.generation.0, probe.token) =>
            {
                b.verified = true;
                true
            }
            _ => false,
        }
    }

    /// Ask for the line again: it changed. Spread over an interval, for thousands learn of it at once; sooner where
    /// without it the leader's name isn't known.
    pub(super) fn refresh(&mut self, now: Time, urgent: bool) {
        let at = now + self.rng.up_to(if urgent { self.interval / 32 } else { self.interval });
        if urgent {
            self.refresh_at = self.refresh_at.min(at);
        } else if self.refresh_at == Time::NEVER {
            self.refresh_at = at;
        }
    }

    pub(super) fn refreshed(&mut self) {
        self.refresh_at = Time::NEVER;
        self.nonce = self.rng.nonzero();
    }

    /// Something has changed that the leader learns by the next beat.
    pub(super) fn beat_soon(&mut self, now: Time) {
        self.next_beat = self.next_beat.min(now);
    }

    /// Registered: beats begin at once, so that the leader knows the address for this node's own.
    pub(super) fn registered(&mut self, now: Time, registration: Registration) {
        self.registration = Some(registration);
        self.placed = true;
        self.disowned = None;
        self.home = registration.lineage;
        self.joins = 0;
        self.next_beat = now;
        self.nonce = self.rng.nonzero();
    }

    /// A whole side goes over at once: not all of them beat in the same millisecond.
    pub(super) fn spread(&mut self, now: Time) {
        self.next_beat = now + self.rng.up_to(self.interval / 4);
    }

    /// A refused registration is tried again then.
    pub(super) fn join_again(&mut self, at: Time) {
        self.next_join = at;
    }

    /// True where multicast stands still while heartbeats come.
    pub(super) fn is_deaf(&self, now: Time) -> bool {
        self.bond
            .is_some_and(|b| b.number > 0 && now - b.heard < self.detection && now - b.multicast > self.detection * 2)
    }

    pub(super) fn deadline(&self, beats: bool, joined: bool) -> Time {
        let mut at = self.next_seek.min(self.refresh_at);
        if beats && self.registration.is_some() && self.bond.is_some() {
            at = at.min(self.next_beat);
        }
        if !joined && self.bond.is_some() {
            at = at.min(self.next_join);
        }
        at
    }

    /// What is due. `beats`: whether this node tells the leader that it lives by beats; `joined`: whether the roll says
    /// all of it that it should.
    pub(super) fn tick(
        &mut self,
        now: Time,
        beats: bool,
        joined: bool,
        mut send: impl FnMut(Dest, Datagram),
        mut need: impl FnMut(Need),
    ) {
        if let (Some(bond), Some(r)) = (&mut self.bond, self.registration)
            && beats
            && now >= self.next_beat
        {
            self.next_beat = now + self.interval;
            let beat = Beat { slot: r.slot, generation: r.generation, lineage: r.lineage.0 as u32, heard: self.heard };
            // The question that verifies the address goes first: with acknowledgements to pay as well there may never be
            // enough for both.
            if (joined || bond.verified) && bond.pays(SMALL) {
                send(Dest::Addr(bond.addr), Datagram::Beat(beat));
            }
        }
        if let (Some(bond), false) = (self.bond, joined)
            && now >= self.next_join
        {
            let pause = self.interval / 4 * (1 << self.joins.min(4));
            self.next_join = now + pause + self.rng.up_to(pause);
            self.joins += 1;
            if bond.verified {
                need(Need::Join(bond.addr));
            } else {
                self.ask_for_answer(&mut send);
                self.next_join = now + self.interval / 4;
            }
        }
        if now >= self.refresh_at {
            self.refresh_at = Time::NEVER;
            if let Some(bond) = self.bond {
                if bond.verified {
                    need(Need::Refresh(bond.addr));
                } else {
                    self.ask_for_answer(&mut send);
                }
                self.refresh_at = now + self.interval + self.rng.up_to(self.interval);
            }
        }
        if now >= self.next_seek {
            if self.hears(now, self.detection) && (self.registration.is_some() || self.joins < 4) {
                self.next_seek = now + self.detection;
                return;
            }
            need(Need::Seek(self.attempt));
            let pause = (self.interval / 2 * (1 << self.attempt.min(6))).min(self.longest_pause);
            self.attempt = self.attempt.saturating_add(1);
            self.next_seek = now + pause / 2 + self.rng.up_to(pause);
        }
    }

    fn ask_for_answer(&mut self, send: &mut impl FnMut(Dest, Datagram)) {
        let Some(bond) = &mut self.bond else { return };
        let (slot, generation, token) = bond.token;
        let probe =
            Probe { slot: Slot(slot), generation: Generation(generation), lineage: bond.lineage.0 as u32, token };
        if bond.pays(SMALL) {
            send(Dest::Addr(bond.addr), Datagram::Probe(probe));
        }
    }

    /// The answer proves the address: what waited for it is due now.
    pub(super) fn hurry(&mut self, now: Time) {
        self.next_join = self.next_join.min(now);
        if self.refresh_at != Time::NEVER {
            self.refresh_at = now;
        }
    }
}
