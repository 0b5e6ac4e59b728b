//! Changes of the line that the leader makes by itself, one at a time.
//!
//! Property: a restarted diskless candidate returns in two committed changes, never by a swap of one voter for another
//! (a swap lets two majorities miss each other); a voter is added only when its roll is level; one that lives is taken
//! off only while the rest can do without it; who was retired is off the line and stays off, under later leaders too, for
//! the roll says so.

use super::planted::{Bug, Planted};
use super::roll::Roll;
use crate::types::{Identity, Line, MAX_SEATS, NodeId, Seat, Slot, Standing};
use crate::wire::Change;

/// The next change that brings the line nearer to the roll, if any is due. The caller has no change of the line under
/// way and has committed an entry of its own term. `me` is the leader, who takes itself off no line. `level` tells whether a voter's roll is level with the leader's,
/// `retiring` whether a voter is on its way out.
pub(super) fn next_change(
    roll: &Roll,
    line: &Line,
    me: Identity,
    level: impl Fn(Identity) -> bool,
    retiring: impl Fn(&NodeId) -> bool,
    bug: Planted,
) -> Option<Change> {
    for seat in line.seats().iter().filter(|s| !retiring(&s.id)) {
        let member = roll.find(&seat.id);
        if roll.is_retired(&seat.id) || member.is_some_and(|(_, _, info)| !roll.standing(info).votes()) {
            if seat.identity != me && (!seat.voting || rest_suffices(roll, line, seat, &level)) {
                return Some(Change::Unseated { id: seat.id.clone(), identity: seat.identity, keep: false });
            }
            continue;
        }
        let Some((slot, _, info)) = member else {
            match roll.ranked(&seat.id).filter(|p| *p != seat.priority) {
                Some(priority) => return Some(Change::Seated(Seat { priority, ..seat.clone() })),
                None => continue,
            }
        };
        let renewed = Seat {
            incarnation: info.incarnation,
            priority: roll.priority(info),
            witness: info.standing == Standing::Witness,
            durable: info.durable,
            identity: info.identity,
            slot,
            addrs: info.addrs.clone(),
            voting: true,
            ..seat.clone()
        };
        if info.identity == seat.identity && seat.voting {
            if renewed != *seat {
                return Some(Change::Seated(renewed));
            }
        } else if seat.voting {
            return Some(if bug.has(Bug::ReadmitBySwap) { Change::Seated(renewed) } else { unseat(seat) });
        } else if level(info.identity) {
            return Some(Change::Seated(renewed));
        }
    }
    admission(roll, line, level, retiring, bug)
}

/// True where those of the line that are there are still a majority, and one of them may lead, without this voter: else
/// taking it off would end the leadership, and could not be committed.
pub(super) fn rest_suffices(roll: &Roll, line: &Line, without: &Seat, level: impl Fn(Identity) -> bool) -> bool {
    let rest: Vec<&Seat> = line.voters().filter(|s| s.identity != without.identity).collect();
    let there: Vec<_> = rest.iter().filter(|s| level(s.identity)).collect();
    there.len() > rest.len() / 2 && there.iter().any(|s| roll.may_lead(s))
}

fn unseat(seat: &Seat) -> Change {
    Change::Unseated { id: seat.id.clone(), identity: seat.identity, keep: true }
}

/// A candidate on the roll that has no seat yet.
fn admission(
    roll: &Roll,
    line: &Line,
    level: impl Fn(Identity) -> bool,
    retiring: impl Fn(&NodeId) -> bool,
    bug: Planted,
) -> Option<Change> {
    let newcomer = |(slot, info): (Slot, &crate::types::MemberInfo)| Seat {
        priority: roll.priority(info),
        ..Seat::of(info, slot, line.next_admission())
    };
    let mut waiting = roll
        .members()
        .filter(|(_, _, i)| roll.standing(i).votes() || bug.has(Bug::ReadmitRetired) && i.standing.votes())
        .filter(|(_, _, i)| line.seat(&i.id).is_none() && !retiring(&i.id))
        .map(|(slot, _, info)| (slot, info));
    // A tag names one voter of the line: who draws one that is taken has to draw again, by a restart.
    let unique = |identity: Identity| line.by_tag(identity.tag()).is_none();
    let (slot, info) = waiting.find(|(_, info)| level(info.identity) && unique(info.identity))?;
    if line.seats().len() < MAX_SEATS {
        return Some(Change::Seated(newcomer((slot, info))));
    }
    // The line is full: a seat that nobody sits in and whose owner is off the roll makes room.
    let vacant = line.seats().iter().find(|s| !s.voting && roll.find(&s.id).is_none())?;
    Some(Change::Unseated { id: vacant.id.clone(), identity: vacant.identity, keep: false })
}

#[cfg(test)]
mod tests;
