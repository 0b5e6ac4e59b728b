//! Feeds the checkers with what the nodes show and tell.

use super::super::check::{
    Answer, Claims, Commits, Events, Family, Findings, Founders, Leaders, Leases, LineView, Lines, Messages, Observer,
    OnRoll, RollView, Slots, Standpoint, Terms, Verdict,
};
use super::super::host::{Host, HostId, Seen};
use super::super::process::Process;
use super::super::trace::Detail;
use super::World;
use crate::proto::{ClaimOutcome, Command, Event, HandoverStep, MessageLane, Node, Notice, Role};
use crate::types::{Identity, Incarnation, Index, Line, Lineage, NodeId, Position, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that must always hold did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the property, as the front page lists them.
    pub property: u8,
    /// When, in true time.
    pub at: Time,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "property {} at {:?}: {}", self.property, self.at, self.what)
    }
}

/// How often which property was checked; the places are the numbers of the properties.
pub type Checked = [u64; 10];

/// All checkers together.
#[derive(Debug, Default)]
pub(super) struct Watch {
    leaders: Leaders,
    leases: Leases,
    pub(super) terms: Terms,
    commits: Commits,
    slots: Slots,
    events: Events,
    pub(super) family: Family,
    pub(super) founders: Founders,
    pub(super) findings: Findings,
    /// The children that were founded and said so, and whether they said that voters are lost.
    recovered: BTreeMap<Lineage, bool>,
    /// Whether the children that were founded have all that was committed before.
    kept: BTreeMap<Lineage, bool>,
    /// Whom an operator gave up: what they hold may be lost.
    pub(super) given_up: BTreeSet<NodeId>,
    messages: Messages,
    line_changes: Lines,
    pub(super) claims: Claims,
    /// The last committed line of each lineage that anybody showed, and at which index.
    pub(super) lines: BTreeMap<Lineage, (Index, Line)>,
    pub(super) checked: Checked,
}

impl Watch {
    pub(super) fn process_ended(&mut self, node: u32, run: u32, seen: Seen) {
        let who = Observer { node, run };
        self.leases.released(who);
        self.events.ended(who);
        self.claims.ended(who);
        self.findings.ended(who);
        if seen.role == Role::Leader {
            self.leaders.stopped(who, seen.lineage, seen.term);
        }
    }

    /// Role, term and commit index of a node changed.
    fn changed(&mut self, who: Observer, node: &Node, was: Seen, is: Seen, all: bool) -> Result<(), (u8, String)> {
        self.checked[2] += 1;
        self.family.names(is.lineage, if is.lineage == was.lineage { &[] } else { node.parents() });
        self.terms.knows(who, self.family.root(is.lineage), is.term).map_err(|e| (2, e))?;
        let leads = |s: &Seen| (s.role == Role::Leader).then_some((s.lineage, s.term));
        if leads(&was) != leads(&is) {
            if let Some((lineage, term)) = leads(&was) {
                self.leaders.stopped(who, lineage, term);
            }
            if let Some((lineage, term)) = leads(&is) {
                self.checked[1] += 1;
                self.leaders.leads(who, lineage, term).map_err(|e| (1, e))?;
                let whole = self.kept.get(&lineage).copied().unwrap_or(true);
                if !node.parents().is_empty() && self.recovered.get(&lineage).is_none_or(|lost| !lost && !whole) {
                    let what = format!("{who} leads lineage {lineage}, a child, and nobody said what it may have cost");
                    return Err((3, what));
                }
                self.commits.leads(who, lineage, term, node.position()).map_err(|e| (3, e))?;
            }
        }
        if (was.commit, was.lineage) != (is.commit, is.lineage) && is.commit > Index::ZERO {
            self.committed(who, node, was, is, all)?;
        }
        Ok(())
    }

    fn committed(&mut self, who: Observer, node: &Node, was: Seen, is: Seen, all: bool) -> Result<(), (u8, String)> {
        let known = if was.lineage == is.lineage { was.commit } else { Index::ZERO };
        if is.commit < known {
            return Err((3, format!("{who} held the roll for committed up to {known}, and now up to {}", is.commit)));
        }
        self.entries(who, node, is.lineage, known, is.commit)?;
        // In a large convention the whole roll is compared at every 64th index only: at the same ones on all nodes.
        let whole = all || is.commit.0.is_multiple_of(64);
        let holds_roll = node.standing().votes();
        let digest = (whole && holds_roll).then(|| node.roll_digest());
        self.commits.roll(who, is.lineage, is.term, is.commit, digest).map_err(|e| (3, e))?;
        if whole && holds_roll {
            self.checked[4] += 1;
            let roll = node.members().map(|(slot, _, m)| OnRoll { slot, id: &m.id, incarnation: m.incarnation });
            self.slots.roll(who, roll).map_err(|e| (4, e))?;
        }
        if holds_roll {
            if is.commit > self.lines.get(&is.lineage).map_or(Index::ZERO, |last| last.0) {
                let find = |id: &NodeId| node.member(id).map(|(_, _, info)| info.incarnation);
                if self.family.root(is.lineage) == is.lineage {
                    self.claims.roll(is.lineage, find).map_err(|e| (4, e))?;
                }
            }
            let last = self.lines.entry(is.lineage).or_default();
            if is.commit > last.0 {
                last.0 = is.commit;
                if last.1.version() != node.line().version() {
                    last.1 = node.line().clone();
                }
            }
        }
        Ok(())
    }

    /// What a node's log has of the entries above one index, up to another, is what others hold for committed.
    fn entries(
        &mut self,
        who: Observer,
        node: &Node,
        lineage: Lineage,
        known: Index,
        upto: Index,
    ) -> Result<(), (u8, String)> {
        let mut index = upto;
        while index > known
            && let Some((term, digest)) = node.entry_digest(index)
        {
            self.checked[3] += 1;
            self.commits.entry(who, lineage, Position { term, index }, digest).map_err(|e| (3, e))?;
            index.0 -= 1;
        }
        Ok(())
    }

    /// What a subscriber holds is what others hold for committed.
    fn followed(&mut self, who: Observer, node: &Node, was: Seen, is: Seen, all: bool) -> Result<(), (u8, String)> {
        let known = if was.lineage == is.lineage { was.followed } else { Index::ZERO };
        if is.followed < known {
            return Err((3, format!("{who} followed the roll up to {known}, and now up to {}", is.followed)));
        }
        self.entries(who, node, is.lineage, known, is.followed)?;
        if all || is.followed.0.is_multiple_of(64) {
            self.commits.shown(who, is.lineage, is.followed, node.roll_digest()).map_err(|e| (3, e))?;
        }
        Ok(())
    }

    fn line(&mut self, who: Observer, node: &Node, is: Seen) -> Result<(), (u8, String)> {
        self.checked[3] += 1;
        let view = LineView {
            committed: node.line(),
            in_force: node.line_in_force(),
            change: node.line_change(),
            upto: node.committed(),
            leads: (is.role == Role::Leader).then_some(is.term),
            retired: node.retired().collect(),
        };
        self.line_changes.shows(who, is.lineage, &view).map_err(|e| (3, e))
    }

    fn told(&mut self, who: Observer, lineage: Lineage, node: &Node, event: &Event) -> Result<(), (u8, String)> {
        let fifth = |v: Verdict| v.map_err(|e| (5, e));
        self.family.names(node.lineage(), node.parents());
        let family = self.family.root(lineage);
        match event {
            Event::Joined { info, .. } => {
                self.checked[5] += 1;
                fifth(self.events.joined(who, family, &info.id, info.incarnation))
            }
            Event::Updated { id, incarnation, .. } => {
                self.checked[5] += 1;
                fifth(self.events.updated(who, family, id, *incarnation))
            }
            Event::Left { id, incarnation, .. } => {
                self.checked[5] += 1;
                if lineage == family {
                    self.claims.departed(lineage, id, *incarnation).map_err(|e| (4, e))?;
                }
                fifth(self.events.left(who, family, id, *incarnation))
            }
            Event::Name { name, owner } => {
                self.checked[4] += 1;
                self.events.name(who, family, name, owner.as_ref()).map_err(|e| (4, e))
            }
            Event::Claimed { name, outcome } => {
                self.checked[4] += 1;
                let answer = match outcome {
                    ClaimOutcome::Lost => return Ok(()),
                    ClaimOutcome::Yours => Some(Answer::Yours),
                    ClaimOutcome::Released => Some(Answer::Released),
                    ClaimOutcome::Taken(owner) => Some(Answer::Taken(owner.clone())),
                    _ => None,
                };
                // A child may have lost what its parent confirmed: it is known only to say so.
                let answer = answer.filter(|_| lineage == family);
                let asker = (who, node.config().id());
                self.claims.answered(lineage, asker, name, answer).map_err(|e| (4, e))
            }
            Event::Found { number, members, total } => {
                self.checked[4] += 1;
                self.findings.answered(who, *number, members, *total).map_err(|e| (4, e))
            }
            Event::Role { term, .. } => self.terms.tells(who, family, *term).map_err(|e| (2, e)),
            Event::Leader { term, lineage, .. } => {
                self.terms.tells(who, self.family.root(*lineage), *term).map_err(|e| (2, e))
            }
            Event::Recovered { lineage, lost, .. } => {
                *self.recovered.entry(*lineage).or_default() |= !lost.is_empty();
                Ok(())
            }
            Event::Network(Notice::RecoveryOrdered(without)) => {
                self.given_up.extend(without.iter().cloned());
                Ok(())
            }
            Event::Registered { slot, generation, incarnation, term, .. } => {
                self.checked[4] += 1;
                let id = node.config().id();
                self.slots.registered(lineage, *slot, *generation, id, *incarnation).map_err(|e| (4, e))?;
                self.terms.tells(who, family, *term).map_err(|e| (2, e))
            }
            Event::Message { from, incarnation, body, lane } => {
                self.checked[5] += 1;
                self.checked[6] += 1;
                fifth(self.events.message(who, family, from, *incarnation))?;
                let me = node.config().id();
                let verdict = match lane {
                    MessageLane::Stream => self.messages.delivered(who, me, from, body),
                    MessageLane::Datagram => self.messages.note_delivered(me, from, body),
                };
                verdict.map_err(|e| (6, e))
            }
            Event::Undeliverable { to, body, lane: MessageLane::Stream, uncertain, .. } => {
                self.checked[6] += 1;
                let me = node.config().id();
                self.messages.returned(who, me, to, body, *uncertain).map_err(|e| (6, e))
            }
            Event::Moved { .. } => {
                self.events.moved(who);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl World {
    /// How many claims of a host's node wait for their answers.
    pub(in crate::sim) fn claims_waiting(&self, host: HostId) -> usize {
        let run = self.hosts[host.at()].run;
        self.watch.as_ref().map_or(0, |w| w.claims.waiting(Observer { node: host.0, run }))
    }

    /// How many names' claims are checked to their end, and how many are not, for too much was possible.
    #[must_use]
    pub fn claims_checked(&self) -> (usize, usize) {
        self.watch.as_ref().map_or((0, 0), |w| w.claims.histories())
    }

    /// A node took a command.
    pub(super) fn commanded(&mut self, h: u32, p: &Process, command: &Command) {
        if let Some(watch) = &mut self.watch {
            match command {
                Command::SetCapabilities(capabilities) => watch.findings.says(p.node.config().id(), capabilities),
                Command::Find { number, key, value } => {
                    watch.findings.asked(Observer { node: h, run: p.run }, *number, key, value);
                }
                _ => {}
            }
        }
        let (name, release) = match command {
            Command::Claim(name) => (name, false),
            Command::Release(name) => (name, true),
            _ => return,
        };
        if let Some(watch) = &mut self.watch {
            let (who, node) = (Observer { node: h, run: p.run }, &p.node);
            let asker = (who, node.config().id(), node.incarnation());
            watch.claims.invoked(node.lineage(), asker, name, release);
        }
    }
}

/// Incarnations are times: the story counts them from the world's beginning.
fn short(incarnation: Incarnation) -> u64 {
    incarnation.0.checked_sub(super::control::EPOCH_US).unwrap_or(incarnation.0)
}

impl World {
    pub(in crate::sim) fn violated(&mut self, property: u8, what: String) {
        self.trace.line(Detail::Story, self.now, "VIOLATED", format_args!("property {property}: {what}"));
        // The first ones tell the story; a broken world goes on breaking.
        if self.violations.len() < 16 {
            self.violations.push(Violation { property, at: self.now(), what });
        }
    }

    /// Looks at a node after it was fed.
    pub(super) fn observe(&mut self, h: u32, p: &mut Process) {
        if let Some(difference) = p.diverged.take() {
            let name = p.node.config().id();
            self.violated(9, format!("{name} and its twin got the same inputs and differ: {difference}"));
        }
        let node = &p.node;
        let votes = node.standing().votes();
        let is = Seen {
            role: node.role(),
            term: node.term(),
            lineage: node.lineage(),
            commit: if votes { node.commit_index() } else { Index::ZERO },
            followed: if votes { Index::ZERO } else { node.commit_index() },
            lease: node.lease_until(),
            lines: if votes { (node.line().version(), node.line_in_force().version()) } else { (0, 0) },
        };
        let host = &mut self.hosts[h as usize];
        let was = std::mem::replace(&mut host.seen, is);
        let clock = host.clock;
        match (self.bench.binary_search(&h), node.standing().votes()) {
            (Err(at), true) => {
                self.bench.insert(at, h);
                host.identity = node.identity();
            }
            (Ok(at), false) => {
                self.bench.remove(at);
                host.identity = node.identity();
            }
            _ => {}
        }
        let who = Observer { node: h, run: p.run };
        if was == is {
            return;
        }
        if was.lineage != is.lineage && !node.parents().is_empty() {
            self.child_founded(h, p, is.lineage);
        }
        let node = &p.node;
        let Some(watch) = &mut self.watch else { return };
        let small = self.hosts.len() <= 128;
        let mut verdict = Ok(());
        if (was.role, was.term, was.lineage, was.commit) != (is.role, is.term, is.lineage, is.commit) {
            verdict = watch.changed(who, node, was, is, small);
        }
        if verdict.is_ok() && (was.followed, was.lineage) != (is.followed, is.lineage) && is.followed > Index::ZERO {
            verdict = watch.followed(who, node, was, is, small);
        }
        if verdict.is_ok() && votes && (was.lines, was.commit, was.lineage) != (is.lines, is.commit, is.lineage) {
            verdict = watch.line(who, node, is);
        }
        let mut lease = Ok(());
        if was.lease != is.lease {
            watch.checked[1] += 1;
            lease = match is.lease {
                Some(until) => {
                    let until = Time::from_micros(clock.when(until));
                    // No child lives beside its parent: at one instant one lease in all of them.
                    let family = watch.family.root(is.lineage);
                    watch.leases.holds(Time::from_micros(self.now), who, family, is.term, until).map_err(|e| (1, e))
                }
                None => {
                    watch.leases.released(who);
                    Ok(())
                }
            };
        }
        if (was.commit, was.lineage) != (is.commit, is.lineage) {
            self.observe_founding(h, p, is);
        }
        for (property, what) in [verdict, lease].into_iter().filter_map(Result::err) {
            self.violated(property, what);
        }
    }

    /// A node took an input: before anything else it had to find out whether its lease has ended.
    pub(super) fn observe_lease(&mut self, h: u32, p: &Process) {
        let clock = self.hosts[h as usize].clock;
        let ended = p.node.lease_until().filter(|until| *until <= clock.local(self.now));
        if let (Some(until), Some(watch)) = (ended, &self.watch) {
            let (who, until) = (Observer { node: h, run: p.run }, Time::from_micros(clock.when(until)));
            if let Err(what) = watch.leases.acts(self.now(), who, until) {
                self.violated(1, what);
            }
        }
    }

    /// The clock's rate changed: the lease that the node holds ends at another true time.
    pub(super) fn observe_lease_anew(&mut self, h: u32) {
        self.hosts[h as usize].seen.lease = None;
        if let Some(mut process) = self.hosts[h as usize].process.take() {
            self.observe(h, &mut process);
            self.hosts[h as usize].process = Some(process);
        }
    }

    /// A node told its embedder something.
    pub(super) fn told(&mut self, h: u32, p: &mut Process, event: Event) {
        self.counts.events += 1;
        self.trace.event(&event);
        if self.trace.tells(Detail::Story) {
            self.narrate(h, &event);
        }
        if self.hosts[h as usize].stopped.is_some() {
            self.violated(5, format!("{} stopped and then told {event:?}", p.node.config().id()));
        }
        if let Event::Stopped(reason) = &event {
            self.hosts[h as usize].stopped = Some(*reason);
        }
        if let Event::Network(Notice::Handover(heir, HandoverStep::Blessed(identity, at))) = &event {
            self.observe_blessing(p, heir, *identity, *at);
        }
        if let Some(watch) = &mut self.watch {
            let who = Observer { node: h, run: p.run };
            let lineage = self.hosts[h as usize].leaves.unwrap_or_else(|| p.node.lineage());
            if let Err((property, what)) = watch.told(who, lineage, &p.node, &event) {
                self.violated(property, what);
            }
        }
        if let Event::Moved { .. } | Event::Network(Notice::RecoveryOrdered(_)) = &event {
            self.forget_lineage(HostId(h));
        }
        if let Event::Moved { .. } = &event {
            self.hosts[h as usize].leaves = None;
        }
        if self.options.keep_events {
            self.events.push((Time::from_micros(self.now), HostId(h), event));
        }
    }

    /// A child lineage is seen for the first time, at its founder: what was committed in the parent and isn't in its roll is
    /// lost, and nobody that is left may have it.
    fn child_founded(&mut self, h: u32, p: &Process, child: Lineage) {
        let Some(watch) = &mut self.watch else { return };
        let Some(parent) = p.node.parents().first().copied() else { return };
        if watch.kept.contains_key(&child) {
            return;
        }
        watch.checked[3] += 1;
        let mut kept = p.node.commit_index();
        while kept > Index::ZERO && p.node.entry_digest(kept).is_some() {
            kept.0 -= 1;
        }
        // The position that the founding itself takes is none of the parent's.
        kept.0 = kept.0.saturating_sub(1);
        let (reach, first) = (watch.commits.reach(parent), Index(kept.0 + 1));
        watch.kept.insert(child, reach <= kept);
        if reach <= kept {
            return;
        }
        let term = watch.commits.term_at(parent, first);
        let holds = |other: &Host| match (&other.process, &other.disk) {
            (Some(process), _) => {
                let node = &process.node;
                let same = node.entry_digest(first).is_none_or(|(t, _)| Some(t) == term);
                let has = node.commit_index() >= first || node.position().index >= first && term.is_some() && same;
                node.lineage() == parent && node.config().standing().votes() && has
            }
            (None, Some(disk)) => disk.holds(parent, first, term),
            (None, None) => false,
        };
        let mut others =
            self.hosts.iter().zip(0..).filter(|(o, at)| *at != h && !watch.given_up.contains(o.config.id()));
        if let Some(holder) = others.find(|(o, _)| holds(o)).map(|(o, _)| o.config.id().clone()) {
            let founder = p.node.config().id();
            self.violated(
                3,
                format!(
                    "{founder} founds lineage {child} with the roll of {parent} up to {kept}; committed is {reach}, and \
                     {holder} has it"
                ),
            );
        }
    }

    /// A leader blessed its successor: it leads no more, and that one's roll is what its own was.
    fn observe_blessing(&mut self, p: &Process, heir: &NodeId, identity: Identity, at: Position) {
        let Some(watch) = &mut self.watch else { return };
        watch.checked[3] += 1;
        let name = p.node.config().id().clone();
        let lineage = p.node.lineage();
        let successor = self.find(heir.as_str()).and_then(|h| self.node(h)).filter(|n| n.identity() == identity);
        let behind = successor.filter(|n| n.lineage() == lineage && n.position() < at).map(|n| n.position());
        if let Some(behind) = behind {
            self.violated(3, format!("{name} hands over at {at:?} to {heir}, whose roll reaches only to {behind:?}"));
        }
    }

    /// A node accepted a message of its embedder.
    pub(super) fn accepted(&mut self, host: HostId, p: &Process, to: &NodeId, body: &[u8], stream: bool) {
        self.trace.bytes(body);
        if let Some(watch) = &mut self.watch {
            let (who, from) = (Observer { node: host.0, run: p.run }, p.node.config().id());
            if stream {
                watch.messages.accepted(who, from, to, body);
            } else {
                watch.messages.note_accepted(from, to, body);
            }
        }
    }

    /// A message of a process that runs was neither delivered nor came back.
    #[must_use]
    pub fn open_message(&self) -> Option<String> {
        let watch = self.watch.as_ref()?;
        let runs = self.hosts.iter().zip(0..).filter_map(|(h, node)| Some((node, h.process.as_ref()?)));
        runs.map(|(node, p)| (Observer { node, run: p.run }, p.node.config().id()))
            .find_map(|(who, from)| watch.messages.open(who, from))
    }

    fn narrate(&mut self, h: u32, event: &Event) {
        match event {
            Event::Message { from, body, lane, .. } => {
                self.say(h, format_args!("is given {} bytes of {from} by {}", body.len(), lane.as_str()));
            }
            Event::Undeliverable { to, body, reason, uncertain, .. } => {
                let reason = reason.as_str();
                self.say(h, format_args!("gets {} bytes to {to} back: {reason}, uncertain {uncertain}", body.len()));
            }
            Event::Role { role, term } => self.say(h, format_args!("is now {} (term {term})", role.as_str())),
            Event::Leader { leader: Some(leader), term, .. } => {
                self.say(h, format_args!("follows {leader} in term {term}"));
            }
            Event::Leader { leader: None, term, .. } => self.say(h, format_args!("knows no leader (term {term})")),
            Event::Registered { slot, incarnation, leader, .. } => {
                let n = short(*incarnation);
                self.say(h, format_args!("is registered by {leader}: slot {slot}, incarnation {n}"));
            }
            Event::Line { version, line } => {
                let mut text = String::new();
                for place in line {
                    text += if place.active { " " } else { " -" };
                    text += place.id.as_str();
                }
                self.say(h, format_args!("line {version}:{text}"));
            }
            Event::Joined { info, slot } => {
                let n = short(info.incarnation);
                self.say(h, format_args!("sees {} join: slot {slot}, incarnation {n}", info.id));
            }
            Event::Left { id, incarnation, reason } => {
                let n = short(*incarnation);
                self.say(h, format_args!("sees {id} incarnation {n} leave: {}", reason.as_str()));
            }
            Event::Network(Notice::Handover(heir, step)) => match step {
                HandoverStep::Begun => self.say(h, format_args!("begins to hand over to {heir}")),
                HandoverStep::Blessed(_, at) => self.say(h, format_args!("blesses {heir}, level at {at:?}")),
                HandoverStep::Done(term) => self.say(h, format_args!("has handed over to {heir} (term {term})")),
                HandoverStep::Aborted(why) => self.say(h, format_args!("doesn't hand over to {heir}: {why}")),
            },
            other => self.say(h, format_args!("{other:?}")),
        }
    }

    /// How often which property was checked so far.
    #[must_use]
    pub fn checked(&self) -> Checked {
        self.watch.as_ref().map(|w| w.checked).unwrap_or_default()
    }

    /// How many leaderships there were.
    #[must_use]
    pub fn leaderships(&self) -> usize {
        self.watch.as_ref().map_or(0, |w| w.leaders.leaderships())
    }

    /// How many lineages were founded out of others.
    #[must_use]
    pub fn recoveries(&self) -> usize {
        self.watch.as_ref().map_or(0, |w| w.recovered.len())
    }

    /// The last committed line of a lineage that any node ever showed.
    #[must_use]
    pub fn last_line(&self, lineage: Lineage) -> Option<&Line> {
        self.watch.as_ref()?.lines.get(&lineage).map(|(_, line)| line)
    }

    /// The lineages in which something was committed.
    pub fn lineages(&self) -> impl Iterator<Item = Lineage> {
        self.watch.iter().flat_map(|w| w.lines.keys().copied())
    }

    /// True where a lineage was founded out of another, or of a child of it, or is it.
    #[must_use]
    pub fn descends(&self, lineage: Lineage, from: Lineage) -> bool {
        lineage == from || self.watch.as_ref().is_some_and(|w| w.family.descends(lineage, from))
    }

    /// What a running node believes.
    #[must_use]
    pub fn standpoint(&self, host: HostId) -> Option<Standpoint> {
        let node = self.node(host)?;
        let votes = node.standing().votes();
        let subscribes = !votes && node.config().subscribes();
        let roll = (votes || subscribes).then(|| RollView {
            commit: node.commit_index(),
            digest: node.roll_digest(),
            line: node.line().seats().iter().map(|s| (s.id.clone(), s.voting)).collect(),
            members: node.members().map(|(slot, _, m)| (slot, m.id.clone(), m.incarnation)).collect(),
        });
        Some(Standpoint {
            id: node.config().id().clone(),
            incarnation: node.incarnation(),
            leads: node.role() == Role::Leader,
            lineage: node.lineage(),
            term: node.term(),
            leader: node.leader().map(|l| l.id),
            slot: node.registration().map(|(slot, _)| slot),
            votes,
            roll,
        })
    }

    /// Whether all that was told to those who hold the roll adds up to what they hold.
    ///
    /// # Errors
    /// The sentence that says what differs.
    pub fn adds_up(&self) -> Result<(), String> {
        let Some(watch) = &self.watch else { return Ok(()) };
        for (h, p) in (0..).zip(&self.hosts).filter_map(|(h, host)| Some((h, host.process.as_ref()?))) {
            let (who, node) = (Observer { node: h, run: p.run }, &p.node);
            if node.holds_roll() {
                let members = node.members().map(|(_, _, info)| (&info.id, info.incarnation));
                watch.events.adds_up(who, watch.family.root(node.lineage()), members, node.names())?;
            }
        }
        Ok(())
    }

    /// The first thing that the running nodes don't agree about; nothing where they agree.
    #[must_use]
    pub fn disagreement(&self) -> Option<String> {
        self.disagreement_among(self.hosts())
    }

    /// The first thing that the running nodes of these hosts, a convention of their own, don't agree about.
    #[must_use]
    pub fn disagreement_among(&self, hosts: impl IntoIterator<Item = HostId>) -> Option<String> {
        let nodes: Vec<_> = hosts.into_iter().filter_map(|h| self.standpoint(h)).collect();
        super::super::check::disagreement(&nodes)
    }
}
