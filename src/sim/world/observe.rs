//! Feeds the checkers with what the nodes show and tell.

use super::super::check::{
    Asks, Broadcasts, Claims, Commits, Events, Family, Findings, Founders, Leaders, Leases, LineView, Lines, Mergers,
    Messages, Observer, OnRoll, Requests, Seat, Slots, Terms, Voters,
};
use super::super::host::{Host, HostId, Seen};
use super::super::process::{Asked, Process};
use super::super::trace::Detail;
use super::World;
use super::broadcasts::Place;
use crate::proto::{Command, Event, HandoverStep, Node, Notice, Policy, Role};
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
    pub(super) leaders: Leaders,
    pub(super) leases: Leases,
    pub(super) terms: Terms,
    pub(super) commits: Commits,
    pub(super) slots: Slots,
    pub(super) events: Events,
    pub(super) family: Family,
    pub(super) founders: Founders,
    pub(super) findings: Findings,
    /// The children that were founded and said so, and whether they said that voters are lost.
    pub(super) recovered: BTreeMap<Lineage, bool>,
    /// Whether the children that were founded have all that was committed before.
    pub(super) kept: BTreeMap<Lineage, bool>,
    /// Whom an operator gave up: what they hold may be lost.
    pub(super) given_up: BTreeSet<NodeId>,
    /// Who leads a child, and may not have said yet what it may have cost.
    pub(super) unsaid: BTreeMap<Observer, Lineage>,
    pub(super) voters: Voters,
    pub(super) mergers: Mergers,
    /// In which lineage each told of members or names last.
    pub(super) told_in: BTreeMap<Observer, Lineage>,
    /// Who went over from one lineage to another, and has not said all of the first yet.
    pub(super) crossing: Option<Observer>,
    /// Who led each lineage last.
    pub(super) led: BTreeMap<Lineage, Observer>,
    pub(super) messages: Messages,
    pub(super) broadcasts: Broadcasts,
    /// Where each listened to them, in this order.
    pub(super) seats: BTreeMap<Observer, Vec<(Place, Seat)>>,
    pub(super) requests: Requests,
    pub(super) asks: Asks,
    pub(super) line_changes: Lines,
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
        self.unsaid.remove(&who);
        self.claims.ended(who);
        self.findings.ended(who);
        if seen.role == Role::Leader {
            self.leaders.stopped(who, seen.lineage, seen.term);
        }
    }

    /// What is open of its claims goes where it goes, and what it claims by itself is another one.
    fn claims_go_on(&mut self, who: Observer, node: &Node, was: Seen) {
        if node.lineage() != Lineage::ZERO && node.lineage() != was.lineage {
            self.claims.went_over(who, node.lineage(), node.incarnation());
        }
        if node.incarnation() != was.incarnation {
            self.claims.renewed(who, node.incarnation());
        }
        if let Some((lineage, name, release)) = node.claims_itself() {
            let asker = (who, node.config().id(), node.incarnation());
            self.claims.by_itself(lineage, asker, name, release);
        }
    }

    /// Role, term and commit index of a node changed.
    fn changed(&mut self, who: Observer, node: &Node, was: Seen, is: Seen, all: bool) -> Result<(), (u8, String)> {
        self.checked[2] += 1;
        self.family.names(is.lineage, if is.lineage == was.lineage { &[] } else { node.parents() });
        let holds = node.standing().votes() && node.position() > Position::default();
        self.voters.belongs(who, node.identity(), is.lineage, holds).map_err(|e| (1, e))?;
        self.terms.knows(who, self.family.root(is.lineage), is.term).map_err(|e| (2, e))?;
        let leads = |s: &Seen| (s.role == Role::Leader).then_some((s.lineage, s.term));
        if leads(&was) != leads(&is) {
            if let Some((lineage, term)) = leads(&was) {
                self.leaders.stopped(who, lineage, term);
            }
            if let Some((lineage, term)) = leads(&is) {
                self.checked[1] += 1;
                self.leaders.leads(who, lineage, term).map_err(|e| (1, e))?;
                self.led.insert(lineage, who);
                if !node.parents().is_empty() {
                    self.unsaid.insert(who, lineage);
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
        if node.standing().votes() {
            self.requests_committed(who, node, is.lineage, known, is.commit, all)?;
        }
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

/// What a node relays has to be between two members of its roll.
fn relays(node: &Node) -> Option<String> {
    let gone = |(id, incarnation): (&NodeId, Incarnation)| {
        node.member(id).is_none_or(|(_, _, info)| info.incarnation > incarnation)
    };
    let over = node.relayed().find(|(pair, _)| pair.iter().any(|end| gone(*end)));
    over.map(|([(a, _), (b, _)], _)| format!("relays between {a} and {b}, of whom one has left"))
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
        let who = Observer { node: h, run: p.run };
        if let Some(watch) = &mut self.watch {
            watch.listens(who, &p.node);
            watch.claims_go_on(who, &p.node, self.hosts[h as usize].seen);
            let (said, cost) = (watch.said(&p.node), watch.cost_is_said(who, &p.node));
            for (property, why) in said.err().map(|why| (6, why)).into_iter().chain(cost.err().map(|why| (3, why))) {
                self.violated(property, why);
            }
        }
        let node = &p.node;
        let votes = node.standing().votes();
        let is = Seen {
            role: node.role(),
            term: node.term(),
            lineage: node.lineage(),
            incarnation: node.incarnation(),
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
        let between = relays(&p.node);
        if let Some(why) = between.filter(|_| self.watch.is_some()) {
            self.violated(5, format!("{who} {why}"));
        }
        if was == is {
            return;
        }
        if was.lineage != is.lineage && !node.parents().is_empty() {
            self.child_founded(h, p, is.lineage);
        }
        let node = &p.node;
        let now = self.now;
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
        if verdict.is_ok() {
            verdict = watch.requests.prove(now).map_err(|e| (6, e));
        }
        let mut lease = Ok(());
        if was.lease != is.lease {
            watch.checked[1] += 1;
            lease = match is.lease {
                Some(until) => {
                    let until = Time::from_micros(clock.when(until));
                    // No child lives beside its parent, unless sides go on without a majority: at one instant one lease in
                    // all of them.
                    let available = p.node.config().policy() == Policy::Available;
                    let family = if available { is.lineage } else { watch.family.root(is.lineage) };
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
            let lineage = self.hosts[h as usize].tells_of(&event).unwrap_or_else(|| p.node.lineage());
            if let Err((property, what)) = watch.told(who, lineage, &p.node, &event, self.now) {
                self.violated(property, what);
            }
        }
        if let Event::Request { from, incarnation, number, body, .. } = &event
            && self.options.collect_asked
        {
            let (from, incarnation, number) = (from.clone(), *incarnation, *number);
            self.asked.push((HostId(h), p.run, Asked { from, incarnation, number, body: body.clone() }));
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
        if p.node.config().policy() == Policy::Available {
            // Its parent may go on elsewhere.
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
                node.lineage() == parent && node.standing().votes() && has
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

    pub(super) fn question(&mut self, node: u32, run: u32, command: &Command) {
        if let (Some(watch), Command::Ask { number, body, .. }) = (&mut self.watch, command) {
            watch.asks.asked(Observer { node, run }, *number, body);
        }
    }

    pub(super) fn no_question(&mut self, node: u32, run: u32, command: &Command) {
        if let (Some(watch), Command::Ask { number, .. }) = (&mut self.watch, command) {
            watch.asks.refused(Observer { node, run }, *number);
        }
    }

    /// A question of a process that runs of whose outcome nothing was told.
    pub(in crate::sim) fn open_question(&self) -> Option<String> {
        let watch = self.watch.as_ref()?;
        let runs = self.hosts.iter().zip(0..).filter_map(|(h, node)| Some((node, h.process.as_ref()?)));
        runs.map(|(node, p)| Observer { node, run: p.run }).find_map(|who| watch.asks.open(who))
    }
}
