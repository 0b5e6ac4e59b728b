//! Feeds the checker of broadcasts, and tells what is open of them and of messages.

use super::super::check::{Observer, Seat, Verdict};
use super::super::host::HostId;
use super::super::process::Process;
use super::World;
use super::observe::Watch;
use crate::proto::{Event, Node, Policy};
use crate::types::{Generation, Incarnation, Lineage, NodeId, Position, Slot};
use crate::wire::digest;

/// Where a node is on a roll, and since which broadcast.
pub(super) type Place = (Lineage, Slot, Generation, Incarnation, Position);

impl Watch {
    /// What a node that holds the roll has committed of broadcasts.
    pub(super) fn said(&mut self, node: &Node) -> Verdict {
        let family = self.saying(node, node.lineage());
        let alone = !self.family.has_children(node.lineage());
        let newest = self.broadcasts.newest(family);
        for said in node.broadcasts_after(newest) {
            let number = (&said.from, said.incarnation, said.number);
            self.broadcasts.committed((family, alone), said.place, number, &said.data)?;
        }
        Ok(())
    }

    /// Remembers where a node listens: what it is given there may be told when it is elsewhere already.
    pub(super) fn listens(&mut self, who: Observer, node: &Node) {
        let Some(((lineage, slot, generation, incarnation), since, _)) = node.listening() else { return };
        let place = (lineage, slot, generation, incarnation, since);
        if self.seats.get(&who).and_then(|seats| seats.last()).is_none_or(|(last, _)| *last != place)
            && let Some(seat) = self.seat(node)
        {
            self.seats.entry(who).or_default().push((place, seat));
        }
    }

    /// Where a node was when it was given this: where it is now, or where it was before, if it came before all that is for
    /// it now. Of which family that is may have come out since.
    fn seat_of(&self, who: Observer, node: &Node, body: &[u8]) -> Option<Seat> {
        let of_family = |seat: Seat| Seat { family: self.saying(node, seat.lineage), ..seat };
        let seats = || self.seats.get(&who).into_iter().flatten().rev().map(|(_, seat)| of_family(*seat));
        let for_it = |seat: &Seat| self.broadcasts.place(seat.family, body).is_some_and(|place| place > seat.since);
        seats().find(for_it).or_else(|| seats().next())
    }

    /// What shares its broadcasts with a lineage: all of its family, but where sides of it decide apart.
    fn saying(&self, node: &Node, lineage: Lineage) -> Lineage {
        match node.config().policy() {
            Policy::Available => lineage,
            _ => self.family.root(lineage),
        }
    }

    /// Where a node is on the roll, by what it listens to.
    fn seat(&self, node: &Node) -> Option<Seat> {
        let (home, since, _) = node.listening()?;
        let (lineage, slot, generation, incarnation) = home;
        let family = self.saying(node, lineage);
        let (slot, generation) = (u64::from(slot.0), u64::from(generation.0));
        let numbers = [incarnation.0, slot, generation, since.term.0, since.index.0];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        Some(Seat { home: digest(&bytes), lineage, family, since })
    }

    pub(super) fn given_to_all(
        &mut self,
        who: Observer,
        node: &Node,
        from: (&NodeId, Incarnation),
        body: &[u8],
    ) -> Verdict {
        // At the leader it is given within the input that commits it.
        self.said(node)?;
        self.listens(who, node);
        let Some(seat) = self.seat_of(who, node, body) else {
            return Err(format!("{who} is given a broadcast, and is on no roll"));
        };
        let alone = !self.family.has_children(seat.lineage);
        self.broadcasts.given(who, seat, alone, from, body)
    }

    pub(super) fn told_of_broadcasts(&mut self, who: Observer, node: &Node, event: &Event) -> Verdict {
        self.checked[6] += 1;
        match event {
            Event::BroadcastCommitted { number } => {
                self.said(node)?;
                self.broadcasts.confirmed(who, *number)
            }
            Event::BroadcastFailed { number, uncertain, .. } => self.broadcasts.returned(who, *number, *uncertain),
            Event::BroadcastsMissed { count } => {
                if let Some(seat) = self.seat(node) {
                    self.broadcasts.missed(who, seat, *count);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lacks(&mut self, who: Observer, node: &Node) -> Option<String> {
        let seat = self.seat(node)?;
        // What is lost by a recovery may have been given to some.
        if self.family.has_children(seat.lineage) { None } else { self.broadcasts.lacks(who, seat) }
    }
}

impl World {
    /// A node accepted a broadcast of its embedder.
    pub(super) fn said(&mut self, host: HostId, p: &Process, number: u64, body: &[u8]) {
        self.trace.bytes(body);
        if let Some(watch) = &mut self.watch {
            watch.broadcasts.accepted(Observer { node: host.0, run: p.run }, number, body);
        }
    }

    /// A broadcast of a process that runs has no outcome, or a member that runs wasn't given one that was for it.
    #[must_use]
    pub fn open_broadcast(&mut self) -> Option<String> {
        let watch = self.watch.as_mut()?;
        for (node, process) in (0..).zip(&self.hosts).filter_map(|(n, h)| Some((n, h.process.as_ref()?))) {
            let who = Observer { node, run: process.run };
            let open = watch.broadcasts.open(who);
            let registered = process.node.registration().is_some();
            let open = open.or_else(|| if registered { watch.lacks(who, &process.node) } else { None });
            if let Some(why) = open {
                return Some(format!("{}: {why}", process.node.config().id()));
            }
        }
        None
    }

    /// How many broadcasts were accepted.
    #[must_use]
    pub fn broadcasts(&self) -> u64 {
        self.watch.as_ref().map_or(0, |w| w.broadcasts.count())
    }

    /// How many messages were sent so far.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.watch.as_ref().map_or(0, |watch| watch.messages.count())
    }

    /// A message after the first so many that was not delivered, whatever became of it.
    #[must_use]
    pub fn undelivered(&self, after: u64) -> Option<String> {
        self.watch.as_ref().and_then(|watch| watch.messages.undelivered(after))
    }

    /// A message of a process that runs was neither delivered nor came back.
    #[must_use]
    pub fn open_message(&self) -> Option<String> {
        let watch = self.watch.as_ref()?;
        let runs = self.hosts.iter().zip(0..).filter_map(|(h, node)| Some((node, h.process.as_ref()?)));
        runs.map(|(node, p)| (Observer { node, run: p.run }, p.node.config().id()))
            .find_map(|(who, from)| watch.messages.open(who, from))
    }
}
