#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::{Index, Standing, Term, member};
use crate::wire::{Entry, Image};

const QUARANTINE: Duration = Duration::from_millis(300);

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1_000)
}

fn info(name: &str, incarnation: u64, revision: u32) -> MemberInfo {
    MemberInfo { incarnation: Incarnation(incarnation), revision, ..member::tests::info(name) }
}

/// A registrar with the roll that it writes.
struct Book {
    roll: Roll,
    registrar: Registrar,
}

impl Book {
    fn new(most: usize) -> Self {
        let roll = Roll::from_image(&Image::default());
        let registrar = Registrar::new(ms(0), &roll, QUARANTINE, most);
        Self { roll, registrar }
    }

    fn ask(&mut self, now: u64, info: &MemberInfo, asker: Option<Asker>) -> Answer {
        self.registrar.join(ms(now), &self.roll, info, asker, |_| true)
    }

    fn apply(&mut self, now: u64, changes: Vec<Change>) {
        for change in changes {
            let (index, term) = (Index(1), Term(1));
            match self.roll.apply(&Entry { index, term, change }) {
                super::super::roll::Applied::Left { slot, .. } => self.registrar.freed(ms(now), slot),
                super::super::roll::Applied::Joined { info, .. }
                | super::super::roll::Applied::Updated { info, .. }
                | super::super::roll::Applied::Restood { info, .. } => {
                    self.registrar.committed(&info.id, info.revision);
                }
                _ => {}
            }
        }
    }

    /// Asks for it, and has it committed: its slot.
    fn put(&mut self, now: u64, info: &MemberInfo) -> Slot {
        let Answer::Propose(changes) = self.ask(now, info, ASKER) else { panic!("{info:?} isn't taken") };
        self.apply(now, changes);
        self.roll.find(&info.id).unwrap().0
    }

    fn strike_off(&mut self, now: u64, slot: Slot) {
        let left = self.registrar.leave(&self.roll, slot, LeftReason::Silent).unwrap();
        self.apply(now, vec![left]);
    }
}

const ASKER: Option<Asker> =
    Some(Asker { addr: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1), nonce: 1 });

#[test]
fn a_slot_is_given_again_after_its_quarantine_under_a_new_generation() {
    let mut b = Book::new(10);
    let first = b.put(0, &info("a", 1, 0));
    b.strike_off(100, first);
    assert_ne!(b.put(399, &info("b", 1, 0)), first);
    assert_eq!(b.put(400, &info("c", 1, 0)), first);
    assert_eq!(b.roll.get(first).unwrap().0, Generation(2));
}

/// Without a place of its own a leader takes nobody's requests.
#[test]
fn a_leader_has_a_place_on_a_full_roll() {
    let mut b = Book::new(1);
    b.put(0, &info("a", 1, 0));
    assert_eq!(b.ask(0, &info("b", 1, 0), ASKER), Answer::Refuse(RefuseReason::Full, Incarnation::ZERO));
    assert!(matches!(b.ask(0, &info("b", 1, 0), None), Answer::Propose(_)));
}

/// The numbers of slots were used up once: the free ones are given again all the same.
#[test]
fn who_comes_late_gets_a_slot_that_is_free() {
    let mut b = Book::new(10);
    let first = b.put(0, &info("a", 1, 0));
    b.registrar.next_slot = MAX_SLOT;
    assert_eq!(b.ask(0, &info("b", 1, 0), ASKER), Answer::Refuse(RefuseReason::Full, Incarnation::ZERO));
    b.strike_off(100, first);
    assert_eq!(b.ask(399, &info("b", 1, 0), ASKER), Answer::Refuse(RefuseReason::Busy, Incarnation::ZERO));
    assert_eq!(b.put(400, &info("b", 1, 0)), first);
}

/// Of what one registration changes the first part may be all that a new leader has.
#[test]
fn half_a_change_is_asked_for_again() {
    let mut b = Book::new(10);
    b.put(0, &info("a", 1, 0));
    let mut after = info("a", 1, 2);
    after.standing = Standing::Candidate;
    after.capabilities.set("load", "1").unwrap();
    let Answer::Propose(mut changes) = b.ask(0, &after, ASKER) else { panic!("it is taken") };
    assert_eq!(changes.len(), 2);
    changes.truncate(1);
    b.apply(0, changes);
    assert_eq!(b.ask(0, &after, ASKER), Answer::Wait, "the other part is under way");
    // The next leader.
    b.registrar = Registrar::new(ms(0), &b.roll, QUARANTINE, 10);
    b.put(0, &after);
    let (_, _, is) = b.roll.find(&after.id).unwrap();
    assert_eq!((is.standing, is.revision, &is.capabilities), (Standing::Candidate, 2, &after.capabilities));
}

/// What came to nothing isn't waited for once all that was proposed is committed.
#[test]
fn what_came_to_nothing_is_asked_for_again() {
    let mut b = Book::new(10);
    assert!(matches!(b.ask(0, &info("a", 1, 0), ASKER), Answer::Propose(_)));
    assert_eq!(b.ask(0, &info("a", 1, 0), ASKER), Answer::Wait);
    b.registrar.settled();
    assert!(matches!(b.ask(0, &info("a", 1, 0), ASKER), Answer::Propose(_)));
}
