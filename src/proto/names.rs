//! Names: how a member asks for one, and how the leader decides.
//!
//! Properties: a name has one owner at a time; a claim is confirmed only once its entry is committed, and refused only by
//! a leader that holds a lease and has committed everything before it; what is asked takes effect at most once, between
//! the asking and the answer, whatever is lost, doubled or late, and whoever leads meanwhile.
//!
//! The last one rests on three rules. A member asks one thing at a time, by growing numbers. A request names the term of
//! the leader that it is for, so that no late copy finds another one; an answer echoes it, and counts only for the term
//! in which was asked last. And a leader keeps the newest request of each member with its answer, and takes no older one.

use super::event::ClaimOutcome;
use super::roll::Roll;
use crate::types::{Generation, Incarnation, Lineage, Name, NodeId, Slot, Term, Time};
use crate::wire::{Change, ClaimAnswer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Requests of a member that wait for their turn.
const MAX_WAITING: usize = 256;

/// A member's place on the roll: what it asks is asked from there.
type Place = (Lineage, Slot, Generation, Incarnation);

#[derive(Debug, Clone)]
struct Wish {
    name: Name,
    release: bool,
    /// Nobody waits for the outcome.
    silent: bool,
    /// It was this node's own in a lineage that was taken into another: only where it isn't any more that is told.
    again: bool,
}

/// What to ask the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) number: u32,
    pub(super) name: Name,
    pub(super) release: bool,
}

/// The member's side.
#[derive(Debug, Clone)]
pub(super) struct Claimant {
    waiting: VecDeque<Wish>,
    /// The number of the first that waits.
    number: u32,
    /// In which term the first one was asked last.
    asked: Option<Term>,
    next: Time,
    pause: Duration,
    interval: Duration,
    place: Option<Place>,
    owned: BTreeSet<Name>,
}

impl Claimant {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            waiting: VecDeque::new(),
            number: 1,
            asked: None,
            next: Time::ZERO,
            pause: interval / 8,
            interval,
            place: None,
            owned: BTreeSet::new(),
        }
    }

    /// False where too many wait.
    pub(super) fn wish(&mut self, name: Name, release: bool) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if room {
            self.waiting.push_back(Wish { name, release, silent: false, again: false });
        }
        room
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// True while this one waits for its answer.
    pub(super) fn is_asking(&self, number: u32) -> bool {
        !self.is_idle() && self.number == number
    }

    /// The name that it asks for, or gives up (true), by itself.
    #[cfg(feature = "sim")]
    pub(super) fn asks_itself(&self) -> Option<(&Name, bool)> {
        self.waiting.front().filter(|wish| wish.silent && self.asked.is_some()).map(|wish| (&wish.name, wish.release))
    }

    /// When to ask again, as long as there is somebody to ask.
    pub(super) fn deadline(&self) -> Time {
        if self.is_idle() { Time::NEVER } else { self.next }
    }

    /// The node's place on the roll. At another one nothing counts of what was at the former. Where the incarnation is the
    /// same, the roll may have come along from another lineage: what was told to be lost is given up there.
    pub(super) fn settle_at(&mut self, place: Place, mut told: impl FnMut(Name, ClaimOutcome)) {
        if self.place == Some(place) {
            return;
        }
        self.next = Time::ZERO;
        let Some(former) = self.place.replace(place) else { return };
        let mut lost = std::mem::take(&mut self.owned);
        if let Some(wish) = if self.asked.is_some() { self.done() } else { None } {
            if wish.again {
                told(wish.name.clone(), ClaimOutcome::Lost);
            } else if !wish.silent {
                told(wish.name.clone(), ClaimOutcome::Unknown);
            }
            lost.remove(&wish.name);
            if former.3 == place.3 {
                self.waiting.push_front(Wish { name: wish.name, release: true, silent: true, again: false });
            }
        }
        for name in lost {
            told(name.clone(), ClaimOutcome::Lost);
            if former.3 == place.3 {
                self.waiting.push_front(Wish { name, release: true, silent: true, again: false });
            }
        }
    }

    /// Its lineage was taken into another, and its names with it, unless somebody has them there: it asks for each once
    /// more, and goes on with what waits.
    pub(super) fn pass_over(&mut self) {
        self.place = None;
        self.asked = None;
        self.next = Time::ZERO;
        for name in std::mem::take(&mut self.owned) {
            self.waiting.push_front(Wish { name, release: false, silent: true, again: true });
        }
    }

    fn done(&mut self) -> Option<Wish> {
        self.number = self.number.saturating_add(1);
        self.asked = None;
        self.next = Time::ZERO;
        self.pause = self.interval / 8;
        self.waiting.pop_front()
    }

    /// What is due to be asked of the leader of this term.
    pub(super) fn due(&mut self, now: Time, term: Term) -> Option<Question> {
        let wish = self.waiting.front()?;
        if self.asked == Some(term) && now < self.next {
            return None;
        }
        if self.asked != Some(term) {
            self.pause = self.interval / 8;
        }
        self.asked = Some(term);
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(self.interval * 2);
        Some(Question { number: self.number, name: wish.name.clone(), release: wish.release })
    }

    /// Takes an answer; nothing where nobody asked that, the inner nothing where nobody waits for it.
    pub(super) fn answered(
        &mut self,
        term: Term,
        number: u32,
        answer: ClaimAnswer,
        owner: Option<NodeId>,
    ) -> Option<Option<(Name, ClaimOutcome)>> {
        let release = self.waiting.front()?.release;
        let outcome = match (answer, owner) {
            (ClaimAnswer::Yours, _) => ClaimOutcome::Yours,
            (ClaimAnswer::Released, _) => ClaimOutcome::Released,
            (ClaimAnswer::Taken, Some(owner)) => ClaimOutcome::Taken(owner),
            (ClaimAnswer::TooMany, _) => ClaimOutcome::TooMany,
            _ => return None,
        };
        if self.asked != Some(term) || number != self.number || release != (outcome == ClaimOutcome::Released) {
            return None;
        }
        let Wish { name, silent, again, .. } = self.done()?;
        if outcome == ClaimOutcome::Yours {
            self.owned.insert(name.clone());
        } else {
            self.owned.remove(&name);
        }
        if again && outcome != ClaimOutcome::Yours {
            return Some(Some((name, ClaimOutcome::Lost)));
        }
        Some((!silent).then_some((name, outcome)))
    }
}

/// An answer, and to whom; nothing where the leader itself asked.
pub(super) type Answered = (Option<SocketAddr>, u32, ClaimAnswer, Option<NodeId>);

#[derive(Debug, Clone)]
enum Stage {
    /// It stands in the log.
    Proposed,
    Answered(ClaimAnswer, Option<NodeId>),
}

#[derive(Debug, Clone)]
struct Latest {
    generation: Generation,
    number: u32,
    asker: Option<SocketAddr>,
    name: Name,
    stage: Stage,
}

/// What a leader does about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing: it is under way, or older than what was answered.
    Nothing,
    Answer(ClaimAnswer, Option<NodeId>),
    Propose(Change),
}

/// The leader's side: the newest request of each member, in this leadership.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    members: BTreeMap<Slot, Latest>,
}

impl Claims {
    /// Decides by the committed roll. The caller holds a lease and has committed an entry of its own term.
    pub(super) fn ask(
        &mut self,
        roll: &Roll,
        (slot, generation): (Slot, Generation),
        question: Question,
        asker: Option<SocketAddr>,
    ) -> Ruling {
        let Question { number, name, release } = question;
        if let Some(latest) = self.members.get_mut(&slot).filter(|l| l.generation == generation && number <= l.number) {
            return match &latest.stage {
                _ if number < latest.number => Ruling::Nothing,
                Stage::Proposed => {
                    latest.asker = asker;
                    Ruling::Nothing
                }
                Stage::Answered(answer, owner) => Ruling::Answer(*answer, owner.clone()),
            };
        }
        let owner = roll.owner(&name);
        let mine = owner.is_some_and(|(at, _)| at == slot);
        let ruling = match (release, owner) {
            (false, Some(_)) if mine => Ruling::Answer(ClaimAnswer::Yours, None),
            (false, Some((_, info))) => Ruling::Answer(ClaimAnswer::Taken, Some(info.id.clone())),
            (false, None) if roll.is_full_of_names(slot) => Ruling::Answer(ClaimAnswer::TooMany, None),
            (false, None) => Ruling::Propose(Change::Claimed { slot, generation, name: name.clone() }),
            (true, _) if mine => Ruling::Propose(Change::Released { slot, generation, name: name.clone() }),
            (true, _) => Ruling::Answer(ClaimAnswer::Released, None),
        };
        let stage = match &ruling {
            Ruling::Answer(answer, owner) => Stage::Answered(*answer, owner.clone()),
            _ => Stage::Proposed,
        };
        self.members.insert(slot, Latest { generation, number, asker, name, stage });
        ruling
    }

    /// The entry of a request is committed: who waits for the answer.
    pub(super) fn committed(
        &mut self,
        (slot, generation): (Slot, Generation),
        name: &Name,
        answer: ClaimAnswer,
        owner: Option<NodeId>,
    ) -> Option<Answered> {
        let latest = self.members.get_mut(&slot)?;
        let waits = matches!(latest.stage, Stage::Proposed);
        if latest.generation != generation || latest.name != *name || !waits {
            return None;
        }
        latest.stage = Stage::Answered(answer, owner.clone());
        Some((latest.asker, latest.number, answer, owner))
    }

    /// The member is gone.
    pub(super) fn gone(&mut self, slot: Slot) {
        self.members.remove(&slot);
    }
}

#[cfg(test)]
mod tests;
