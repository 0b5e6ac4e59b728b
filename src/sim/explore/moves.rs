//! What can happen in a state.

use super::super::process::Arrived;
use super::super::trace::{Frames, Meaning};
use super::stage::Stage;
use super::wires::PipeId;
use crate::proto::Command;
use std::fmt;
use std::time::Duration;

/// How often what may go wrong, at most, along one way through the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Processes that are killed.
    pub crashes: u8,
    /// Processes that are started (with what their stores hold).
    pub starts: u8,
    /// Connections that break.
    pub cuts: u8,
    /// Pairs of hosts that are cut off from each other, or mended again.
    pub parts: u8,
    /// Datagrams that are lost.
    pub losses: u8,
    /// Nodes that are woken late, after another one's later deadline.
    pub lates: u8,
    /// Commands of [`super::Explorer::order`] that are given; each once.
    pub orders: u8,
    /// Arrivals in another order than the fixed one, and time that passes while something could arrive.
    pub reorders: u8,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// What happens next where nothing goes wrong.
    Default,
    Sync(u32),
    Deliver(PipeId, usize),
    Hear(usize),
    Fire(u32),
    Late(u32),
    Lose(usize),
    Cut(PipeId),
    Part(u32, u32, bool),
    Crash(u32),
    Start(u32),
    Order(usize),
}

/// A command, and who is given it.
pub(super) type Orders = [(u32, Command)];

/// The stage with what may still go wrong.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) stage: Stage,
    pub(super) left: Budget,
    /// The orders that were given, a bit each.
    pub(super) given: u64,
}

impl Place {
    /// All that can happen here but the default.
    pub(super) fn moves(&self, orders: &Orders) -> Vec<Move> {
        let (s, left) = (&self.stage, &self.left);
        let mut moves = Vec::new();
        if left.reorders > 0 {
            self.arrivals(&mut moves);
        }
        let (up, down): (Vec<u32>, Vec<u32>) = (0..s.hosts()).partition(|h| s.node(*h).is_some());
        if left.losses > 0 {
            moves.extend(self.packets().map(Move::Lose));
        }
        if left.lates > 0 && !s.is_busy() {
            moves.extend(s.deadlines().iter().skip(1).take(1).map(|(_, h)| Move::Late(*h)));
        }
        if left.cuts > 0 {
            let open = s.wires.pipes.iter().filter(|(_, p)| p.ends.iter().all(|e| e.open));
            moves.extend(open.map(|(id, _)| Move::Cut(*id)));
        }
        if left.parts > 0 {
            for a in 0..s.hosts() {
                let pairs = (a + 1..s.hosts()).map(|b| Move::Part(a, b, !s.wires.blocked.contains_key(&(a, b))));
                moves.extend(pairs);
            }
        }
        if left.crashes > 0 {
            moves.extend(up.iter().map(|h| Move::Crash(*h)));
        }
        if left.starts > 0 {
            moves.extend(down.iter().map(|h| Move::Start(*h)));
        }
        if left.orders > 0 {
            let open = (0..orders.len()).filter(|n| self.given & 1 << n == 0 && s.node(orders[*n].0).is_some());
            moves.extend(open.map(Move::Order));
        }
        moves
    }

    /// The places of datagrams that differ.
    fn packets(&self) -> impl Iterator<Item = usize> {
        let packets = &self.stage.wires.packets;
        (0..packets.len()).filter(|n| *n == 0 || packets[*n] != packets[n - 1])
    }

    /// Everything that can arrive now, and that time passes meanwhile.
    fn arrivals(&self, moves: &mut Vec<Move>) {
        let s = &self.stage;
        moves.extend(s.unsynced().map(Move::Sync));
        moves.extend(s.wires.deliverable().map(|(id, end)| Move::Deliver(id, end)));
        moves.extend(self.packets().map(Move::Hear));
        if !moves.is_empty() {
            // The first of them is the default.
            moves.remove(0);
            moves.extend(s.deadlines().first().map(|(_, h)| Move::Fire(*h)));
        }
    }

    /// Carries it out. Wakings that nobody else sees anything of, while nothing is under way, go with what comes next.
    pub(super) fn apply(&mut self, what: Move, orders: &Orders, horizon: crate::types::Time) {
        let (s, left) = (&mut self.stage, &mut self.left);
        let mut seen = true;
        match what {
            Move::Default => seen = s.step(),
            Move::Sync(h) => s.sync(h),
            Move::Deliver(id, end) => s.deliver(id, end),
            Move::Hear(at) => s.hear(at),
            Move::Fire(h) | Move::Late(h) => seen = s.fire(h),
            Move::Lose(at) => drop(s.wires.packets.remove(at)),
            Move::Cut(id) => s.wires.cut(id),
            Move::Part(a, b, apart) => s.part(a, b, apart),
            Move::Crash(h) => s.crash(h),
            Move::Start(h) => s.start(h),
            Move::Order(n) => {
                let (h, command) = orders[n].clone();
                self.given |= 1 << n;
                s.command(h, command);
            }
        }
        let spent = match what {
            Move::Default => None,
            Move::Sync(_) | Move::Deliver(..) | Move::Hear(_) | Move::Fire(_) => Some(&mut left.reorders),
            Move::Late(_) => Some(&mut left.lates),
            Move::Lose(_) => Some(&mut left.losses),
            Move::Cut(_) => Some(&mut left.cuts),
            Move::Part(..) => Some(&mut left.parts),
            Move::Crash(_) => Some(&mut left.crashes),
            Move::Start(_) => Some(&mut left.starts),
            Move::Order(_) => Some(&mut left.orders),
        };
        if let Some(spent) = spent {
            *spent -= 1;
        }
        while !seen && !s.is_busy() && s.now() < horizon && s.broken.is_none() && !s.deadlines().is_empty() {
            seen = s.step();
        }
    }

    pub(super) fn print(&self) -> u128 {
        let mut printer = super::print::Printer::new();
        printer.wide(self.stage.print());
        printer.debug(&(self.left, self.given));
        printer.print()
    }

    /// What a move is about here, before it is carried out.
    pub(super) fn describe(&self, what: Move, orders: &Orders) -> String {
        let s = &self.stage;
        match what {
            Move::Default => {
                if let Some(h) = s.unsynced().next() {
                    self.describe(Move::Sync(h), orders)
                } else if let Some((id, end)) = s.wires.deliverable().next() {
                    self.describe(Move::Deliver(id, end), orders)
                } else if !s.wires.packets.is_empty() {
                    self.describe(Move::Hear(0), orders)
                } else {
                    s.deadlines().first().map_or_else(String::new, |(_, h)| self.describe(Move::Fire(*h), orders))
                }
            }
            Move::Sync(h) => format!("n{h}: what it wrote is durable"),
            Move::Deliver(id, end) => s.wires.pipes.get(&id).map_or_else(String::new, |p| {
                let (from, to) = (p.ends[end].host, p.ends[1 - end].host);
                let item = p.flows[end].front().map_or_else(String::new, |i| self.item(from, i));
                format!("n{to} ← n{from}: {item}")
            }),
            Move::Hear(at) | Move::Lose(at) => {
                let p = &s.wires.packets[at];
                let lost = if matches!(what, Move::Lose(_)) { " is lost" } else { "" };
                format!("n{} ← n{}: {}{lost}", p.to, p.from, brief(&Meaning(&p.bytes, self.tag(p.from))))
            }
            Move::Fire(h) => {
                format!("n{h} is woken{}", if s.is_busy() { ", while something is under way" } else { "" })
            }
            Move::Late(h) => format!("n{h} is woken, and another one, whose time came before, isn't yet"),
            Move::Cut((h, _, conn)) => format!("connection {conn} of n{h} breaks"),
            Move::Part(a, b, true) => format!("n{a} and n{b} are cut off from each other"),
            Move::Part(a, b, false) => format!("n{a} and n{b} can reach each other again"),
            Move::Crash(h) => format!("n{h} is killed"),
            Move::Start(h) => format!("n{h} is started"),
            Move::Order(n) => format!("n{} is told: {:?}", orders[n].0, orders[n].1),
        }
    }

    fn tag(&self, host: u32) -> u32 {
        self.stage.node(host).or_else(|| (0..self.stage.hosts()).find_map(|h| self.stage.node(h))).map_or(0, |n| {
            // All of a stage are of one convention.
            n.config().convention().tag()
        })
    }

    fn item(&self, from: u32, item: &Arrived) -> String {
        brief(&Frames(item, self.tag(from)))
    }

    /// The roles and terms of all, in few words.
    pub(super) fn standing(&self) -> String {
        let mut text = String::new();
        for h in 0..self.stage.hosts() {
            let is = self.stage.node(h).map_or_else(|| "-".into(), |n| format!("{} {}", n.role().as_str(), n.term()));
            text += &format!("{}n{h} {is}", if h == 0 { "" } else { ", " });
        }
        text
    }
}

/// The first words of a frame.
fn brief(what: &impl fmt::Display) -> String {
    const MOST: usize = 150;
    let text = what.to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A time since the beginning, as a trace shows it.
pub(super) fn clock(since: Duration) -> String {
    format!("{:>3}.{:06}", since.as_secs(), since.subsec_micros())
}
