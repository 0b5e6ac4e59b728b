//! The walk through the states, breadth first.

use super::moves::{Budget, Move, Place, clock};
use super::stage::Stage;
use crate::proto::Command;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// How far the walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// So many things happen.
    Steps(u32),
    /// So many things happen that depart from the default.
    Deviations(u32),
}

/// Walks through all states near a stage.
#[derive(Debug, Clone)]
#[must_use]
pub struct Explorer {
    start: Place,
    depth: Depth,
    horizon: Duration,
    most: usize,
    orders: Vec<(u32, Command)>,
}

/// What a walk found wrong: the shortest way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The number of the property.
    pub property: u8,
    /// What was seen.
    pub what: String,
    /// What happened, a line each.
    pub trace: Vec<String>,
}

/// What a walk saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Things that happened.
    pub transitions: usize,
    /// How deep it went, in the measure of its [`Depth`].
    pub depth: Depth,
    /// The longest way, in things that happened.
    pub longest: u32,
    /// True where no bound on the number of states ended it early.
    pub complete: bool,
    /// The first thing wrong.
    pub found: Option<Found>,
}

/// A state that is to be looked at: how it comes about.
struct Open {
    from: Rc<Place>,
    what: Move,
    parent: usize,
    cost: u32,
    length: u32,
}

/// How the walk came to each state.
type Ways = Vec<(usize, Move)>;

impl Explorer {
    /// From this stage on, to a depth of 8 steps or for two seconds, whatever is nearer; nothing goes wrong.
    pub fn new(stage: Stage) -> Self {
        Self {
            start: Place { stage, left: Budget::default(), given: 0 },
            depth: Depth::Steps(8),
            horizon: Duration::from_secs(2),
            most: 10_000_000,
            orders: Vec::new(),
        }
    }

    /// What may go wrong.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.start.left = budget;
        self
    }

    /// How far to go.
    pub fn depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// For how long, on the nodes' clocks.
    pub fn horizon(mut self, time: Duration) -> Self {
        self.horizon = time;
        self
    }

    /// How many states to look at at most (ten million): a bound on memory.
    pub fn at_most(mut self, states: usize) -> Self {
        self.most = states;
        self
    }

    /// A command that a node may be given at any time, once: each is a move of its own, within [`Budget::orders`].
    /// At most 64.
    pub fn order(mut self, host: u32, command: Command) -> Self {
        if self.orders.len() < 64 {
            self.orders.push((host, command));
        }
        self
    }

    /// Walks.
    #[must_use]
    pub fn explore(&self) -> Explored {
        let horizon = self.start.stage.now() + self.horizon;
        let (bound, by_steps) = match self.depth {
            Depth::Steps(n) => (n, true),
            Depth::Deviations(n) => (n, false),
        };
        let mut seen =
            Explored { states: 1, transitions: 0, depth: self.depth, longest: 0, complete: true, found: None };
        let mut visited = BTreeSet::from([self.start.print()]);
        let mut ways: Ways = vec![(0, Move::Default)];
        let mut open = VecDeque::new();
        let expand = |place: Rc<Place>, at: usize, cost: u32, length: u32, open: &mut VecDeque<Open>| {
            let step = |what, cost| Open { from: Rc::clone(&place), what, parent: at, cost, length: length + 1 };
            if cost < bound {
                open.extend(place.moves(&self.orders).into_iter().map(|what| step(what, cost + 1)));
            }
            // What costs nothing is looked at before what costs something.
            match by_steps {
                true if cost < bound => open.push_back(step(Move::Default, cost + 1)),
                true => {}
                false => open.push_front(step(Move::Default, cost)),
            }
        };
        expand(Rc::new(self.start.clone()), 0, 0, 0, &mut open);
        while let Some(next) = open.pop_front() {
            let mut place = (*next.from).clone();
            place.apply(next.what, &self.orders, horizon);
            seen.transitions += 1;
            let fresh = visited.insert(place.print());
            if let Some((property, what)) = place.stage.broken.clone() {
                ways.push((next.parent, next.what));
                let trace = self.tell(&ways, horizon);
                seen.found = Some(Found { property, what, trace });
                return seen;
            }
            if !fresh {
                continue;
            }
            seen.states += 1;
            seen.longest = seen.longest.max(next.length);
            if seen.states >= self.most {
                seen.complete = false;
                return seen;
            }
            ways.push((next.parent, next.what));
            if place.stage.now() < horizon {
                expand(Rc::new(place), ways.len() - 1, next.cost, next.length, &mut open);
            }
        }
        seen
    }

    /// The way to the last state, told from its beginning. Runs of the default are told too: they are what happens.
    fn tell(&self, ways: &Ways, horizon: crate::types::Time) -> Vec<String> {
        let mut moves = Vec::new();
        let mut at = ways.len() - 1;
        while at > 0 {
            moves.push(ways[at].1);
            at = ways[at].0;
        }
        let mut place = self.start.clone();
        let began = place.stage.now();
        let mut lines = vec![format!("             {}", place.standing())];
        for what in moves.into_iter().rev() {
            let before = place.standing();
            let mark = if what == Move::Default { ' ' } else { '*' };
            let told = place.describe(what, &self.orders);
            place.apply(what, &self.orders, horizon);
            lines.push(format!("{mark}{} {told}", clock(place.stage.now() - began)));
            let after = place.standing();
            if after != before {
                lines.push(format!("             {after}"));
            }
        }
        lines
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(n) => write!(f, "{n} steps"),
            Self::Deviations(n) => write!(f, "{n} deviations"),
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth, longest, .. } = self;
        write!(f, "{states} states, {transitions} transitions, to a depth of {depth}, the longest way {longest}")?;
        if !self.complete {
            write!(f, ", NOT COMPLETE")?;
        }
        if let Some(found) = &self.found {
            write!(f, "\nproperty {}: {}", found.property, found.what)?;
            found.trace.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        Ok(())
    }
}
