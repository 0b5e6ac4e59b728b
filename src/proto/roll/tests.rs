#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::{Capabilities, Index, Position, Seat, Term};

fn id(n: u32) -> NodeId {
    NodeId::new(&format!("n{n}")).unwrap()
}

fn name(n: usize) -> Name {
    Name::new(&format!("name-{n}")).unwrap()
}

fn info(n: u32, incarnation: u64) -> MemberInfo {
    MemberInfo {
        id: id(n),
        incarnation: Incarnation(incarnation),
        identity: Identity(10 + u64::from(n)),
        standing: Standing::Candidate,
        priority: 1,
        durable: false,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec![],
        revision: 5,
        capabilities: Capabilities::new(),
    }
}

fn put(roll: &mut Roll, change: Change) -> Applied {
    roll.apply(&Entry { index: Index(1), term: Term(1), change })
}

fn join(roll: &mut Roll, slot: u32, n: u32, incarnation: u64) -> bool {
    let (slot, generation, info) = (Slot(slot), Generation(1), info(n, incarnation));
    let applied = put(roll, Change::Joined { slot, generation, info: info.clone() });
    assert!(applied == Applied::Nothing || applied == Applied::Joined { slot, generation, info });
    applied != Applied::Nothing
}

fn leave(roll: &mut Roll, slot: u32, generation: u16) -> bool {
    let (slot, generation, reason) = (Slot(slot), Generation(generation), LeftReason::Left);
    put(roll, Change::Left { slot, generation, reason }) != Applied::Nothing
}

#[test]
fn a_member_is_on_it_once() {
    let mut roll = Roll::default();
    assert!(join(&mut roll, 2, 1, 7));
    assert!(!join(&mut roll, 2, 2, 1), "the slot is taken");
    assert!(!join(&mut roll, 3, 1, 8), "it is there");
    assert!(!join(&mut roll, MAX_SLOT, 3, 1) && roll.slots().len() == 3);
    assert!(join(&mut roll, 0, 2, 1));
    assert_eq!((roll.len(), roll.members().count(), roll.slots().len()), (2, 2, 3));
    assert_eq!(roll.find(&id(1)).map(|(s, g, i)| (s, g, i.id.clone())), Some((Slot(2), Generation(1), id(1))));
    assert_eq!((roll.find(&id(3)), roll.get(Slot(1)), roll.get(Slot(9))), (None, None, None));
    assert_eq!(roll.get(Slot(2)).map(|(g, i)| (g, i.id.clone())), Some((Generation(1), id(1))));
    assert_eq!(roll.identity(Identity(11)).map(|(s, i)| (s, i.id.clone())), Some((Slot(2), id(1))));
    assert_eq!(roll.identity(Identity(99)), None);
    assert!(!leave(&mut roll, 2, 2) && !leave(&mut roll, 1, 0) && !leave(&mut roll, 7, 1));
    let (slot, reason) = (Slot(2), LeftReason::Silent);
    let left = put(&mut roll, Change::Left { slot, generation: Generation(1), reason });
    let want = Applied::Left { slot, id: id(1), incarnation: Incarnation(7), reason, names: vec![], over: vec![] };
    assert_eq!(left, want);
    assert_eq!((roll.len(), roll.departed(&id(1)), roll.departed(&id(2))), (1, Some(Incarnation(7)), None));
    // What left never returns; a larger incarnation does.
    assert!(!join(&mut roll, 2, 1, 7) && !join(&mut roll, 2, 1, 6));
    assert!(join(&mut roll, 2, 1, 8));
    assert_eq!(roll.departed(&id(1)), None);
}

#[test]
fn so_many_of_those_that_left_are_remembered() {
    let mut roll = Roll::default();
    for n in 0..MAX_DEPARTED as u32 {
        assert!(join(&mut roll, 0, n, 1) && leave(&mut roll, 0, 1));
    }
    assert_eq!(roll.departed(&id(0)), Some(Incarnation(1)));
    assert_eq!(roll.image(Lineage(1), Position::default()).departed.len(), MAX_DEPARTED);
    // One that left again is forgotten with its last time.
    assert!(join(&mut roll, 0, 0, 2) && leave(&mut roll, 0, 1));
    assert_eq!(roll.departed(&id(0)), Some(Incarnation(2)));
    assert_eq!(roll.departed(&id(1)), Some(Incarnation(1)));
    assert!(join(&mut roll, 0, 99_999, 1) && leave(&mut roll, 0, 1));
    assert_eq!((roll.departed(&id(1)), roll.departed(&id(2))), (None, Some(Incarnation(1))));
}

#[test]
fn what_a_member_can_do_changes_by_larger_revisions() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 1, 1);
    let mut capabilities = Capabilities::new();
    capabilities.set("k", "v").unwrap();
    let mut update = |slot: u32, generation: u16, revision: u32| {
        let (slot, generation) = (Slot(slot), Generation(generation));
        put(&mut roll, Change::Updated { slot, generation, revision, capabilities: capabilities.clone() })
    };
    assert_eq!(update(0, 1, 5), Applied::Nothing);
    assert_eq!(update(0, 2, 6), Applied::Nothing);
    assert_eq!(update(1, 0, 6), Applied::Nothing);
    assert!(matches!(update(0, 1, 6), Applied::Updated { slot: Slot(0), info } if info.revision == 6));
    assert_eq!(roll.get(Slot(0)).unwrap().1.capabilities, capabilities);
}

#[test]
fn a_promotion_ends_a_retirement_and_a_change_of_part_does_not() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 1, 1);
    put(&mut roll, Change::Retired { id: id(1) });
    let (slot, generation) = (Slot(0), Generation(1));
    for (standing, identity, retired) in [
        (Standing::Witness, 11, true),
        (Standing::Candidate, 11, true),
        (Standing::Member, 11, true),
        // As after a restart, where it has drawn its identity already.
        (Standing::Candidate, 11, false),
    ] {
        let identity = Identity(identity);
        put(&mut roll, Change::Restood { slot, generation, revision: 6, standing, identity });
        assert_eq!(roll.is_retired(&id(1)), retired, "{standing:?}");
    }
}

#[test]
fn what_a_member_is_to_the_line_changes_and_ends_a_retirement() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 1, 1);
    assert_eq!(put(&mut roll, Change::Retired { id: id(1) }), Applied::Nothing);
    assert!(roll.is_retired(&id(1)) && !roll.is_retired(&id(2)));
    assert_eq!(roll.retired().collect::<Vec<_>>(), [&id(1)]);
    assert_eq!(roll.standing(&info(1, 1)), Standing::Member);
    assert_eq!(roll.standing(&info(2, 1)), Standing::Candidate);
    let mut restand = |generation: u16, revision: u32, standing: Standing, identity: u64| {
        let (slot, generation, identity) = (Slot(0), Generation(generation), Identity(identity));
        put(&mut roll, Change::Restood { slot, generation, revision, standing, identity })
    };
    assert_eq!(restand(2, 6, Standing::Witness, 50), Applied::Nothing);
    assert_eq!(restand(1, 4, Standing::Witness, 50), Applied::Nothing, "an older revision");
    assert_eq!(restand(1, 5, Standing::Candidate, 11), Applied::Nothing, "it is so already");
    assert!(matches!(restand(1, 5, Standing::Member, 11), Applied::Restood { info, .. } if !info.standing.votes()));
    assert!(matches!(restand(1, 6, Standing::Member, 12), Applied::Restood { info, .. } if info.identity.0 == 12));
    assert!(roll.is_retired(&id(1)), "whoever doesn't vote stays retired");
    let (slot, generation, identity) = (Slot(0), Generation(1), Identity(13));
    let standing = Standing::Candidate;
    put(&mut roll, Change::Restood { slot, generation, revision: 7, standing, identity });
    let (_, info) = roll.get(Slot(0)).unwrap();
    assert_eq!((info.revision, info.standing, info.identity), (7, standing, identity));
    assert!(!roll.is_retired(&id(1)));
}

#[test]
fn priorities_are_decided_for_so_many() {
    let mut roll = Roll::default();
    assert_eq!((roll.ranked(&id(0)), roll.priority(&info(0, 1))), (None, 1));
    for n in 0..MAX_DECIDED as u32 {
        assert!(!roll.is_full_of_ranks(&id(n)));
        assert_eq!(put(&mut roll, Change::Ranked { id: id(n), priority: -3 }), Applied::Nothing);
        put(&mut roll, Change::Retired { id: id(n) });
    }
    assert_eq!((roll.ranked(&id(0)), roll.priority(&info(0, 1))), (Some(-3), -3));
    let more = id(MAX_DECIDED as u32);
    assert!(roll.is_full_of_ranks(&more) && !roll.is_full_of_ranks(&id(0)));
    put(&mut roll, Change::Ranked { id: more.clone(), priority: 8 });
    put(&mut roll, Change::Ranked { id: id(0), priority: 8 });
    put(&mut roll, Change::Retired { id: more.clone() });
    assert_eq!((roll.ranked(&more), roll.ranked(&id(0))), (None, Some(8)));
    assert_eq!((roll.retired().len(), roll.is_retired(&more)), (MAX_DECIDED, false));
}

fn claim(roll: &mut Roll, slot: u32, n: usize) -> Applied {
    put(roll, Change::Claimed { slot: Slot(slot), generation: Generation(1), name: name(n) })
}

fn release(roll: &mut Roll, slot: u32, n: usize) -> Applied {
    put(roll, Change::Released { slot: Slot(slot), generation: Generation(1), name: name(n) })
}

fn claimed(slot: u32, n: usize, answer: ClaimAnswer, owner: Option<u32>, changed: bool) -> Applied {
    let (slot, generation, owner) = (Slot(slot), Generation(1), owner.map(id));
    Applied::Claim(Claimed { slot, generation, name: name(n), answer, owner, changed })
}

#[test]
fn a_name_has_one_owner() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 1, 1);
    join(&mut roll, 1, 2, 1);
    assert_eq!(claim(&mut roll, 5, 1), Applied::Nothing);
    assert_eq!(release(&mut roll, 5, 1), Applied::Nothing);
    assert_eq!(claim(&mut roll, 0, 1), claimed(0, 1, ClaimAnswer::Yours, Some(1), true));
    assert_eq!(claim(&mut roll, 0, 1), claimed(0, 1, ClaimAnswer::Yours, Some(1), false));
    assert_eq!(claim(&mut roll, 1, 1), claimed(1, 1, ClaimAnswer::Taken, Some(1), false));
    assert_eq!(release(&mut roll, 1, 1), claimed(1, 1, ClaimAnswer::Released, Some(1), false));
    assert_eq!(roll.owner(&name(1)).map(|(s, i)| (s, i.id.clone())), Some((Slot(0), id(1))));
    assert_eq!(roll.names().map(|(n, i)| (n.clone(), i.id.clone())).collect::<Vec<_>>(), [(name(1), id(1))]);
    assert_eq!(release(&mut roll, 0, 1), claimed(0, 1, ClaimAnswer::Released, None, true));
    assert_eq!((roll.owner(&name(1)), roll.names().count()), (None, 0));
    // Who leaves takes its names along, and nobody else's.
    for n in 0..3 {
        claim(&mut roll, 0, n);
    }
    claim(&mut roll, 1, 3);
    release(&mut roll, 0, 2);
    let left = put(&mut roll, Change::Left { slot: Slot(0), generation: Generation(1), reason: LeftReason::Left });
    assert!(matches!(left, Applied::Left { names, .. } if names == [name(0), name(1)]));
    assert_eq!(roll.names().count(), 1);
    let image = roll.image(Lineage(3), Position { term: Term(2), index: Index(9) });
    assert_eq!(Roll::from_image(&image).image(image.lineage, image.position), image);
}

#[test]
fn a_member_has_so_many_names() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 1, 1);
    join(&mut roll, 1, 2, 1);
    for n in 0..MAX_NAMES_EACH {
        assert!(!roll.is_full_of_names(Slot(0)));
        assert_eq!(claim(&mut roll, 0, n), claimed(0, n, ClaimAnswer::Yours, Some(1), true));
    }
    assert!(roll.is_full_of_names(Slot(0)) && !roll.is_full_of_names(Slot(1)));
    let more = MAX_NAMES_EACH;
    assert_eq!(claim(&mut roll, 0, more), claimed(0, more, ClaimAnswer::TooMany, None, false));
    release(&mut roll, 0, 0);
    assert!(!roll.is_full_of_names(Slot(0)));
    let mut full = Roll { names: (0..MAX_NAMES).map(|n| (name(n), Slot(7))).collect(), ..Roll::default() };
    assert!(full.is_full_of_names(Slot(0)));
    full.names.remove(&name(0));
    assert!(!full.is_full_of_names(Slot(0)));
}

#[test]
fn seats_are_put_and_taken_and_all_else_is_no_matter_of_the_line() {
    let mut roll = Roll::default();
    let seat = Seat {
        id: id(1),
        identity: Identity(11),
        incarnation: Incarnation(1),
        priority: 0,
        admitted: 0,
        witness: false,
        durable: false,
        voting: true,
        slot: Slot(0),
        addrs: vec![],
    };
    assert_eq!(put(&mut roll, Change::Seated(seat.clone())), Applied::Line(vec![]));
    assert_eq!(put(&mut roll, Change::Seated(seat)), Applied::Line(vec![]));
    assert_eq!(put(&mut roll, Change::Led { identity: Identity(1) }), Applied::Nothing);
    assert!(roll.line().votes(Identity(11)));
    assert_eq!(put(&mut roll, Change::Unseated { id: id(9), identity: Identity(9), keep: true }), Applied::Nothing);
    assert_eq!(
        put(&mut roll, Change::Unseated { id: id(1), identity: Identity(11), keep: true }),
        Applied::Line(vec![])
    );
    assert!(!roll.line().votes(Identity(11)) && roll.line().seat(&id(1)).is_some());
}

fn seat(n: u32) -> Seat {
    Seat {
        id: id(n),
        identity: Identity(10 + u64::from(n)),
        incarnation: Incarnation(1),
        priority: 0,
        admitted: 0,
        witness: false,
        durable: false,
        voting: true,
        slot: Slot(n),
        addrs: vec![],
    }
}

fn merger(lineage: u64, base: u32, count: u32, generation: u16) -> Merger {
    let (term, generation) = (Term(3), Generation(generation));
    let (since, upto) = (Position::default(), Position::default());
    Merger { lineage: Lineage(lineage), term, base: Slot(base), generation, since, upto, count }
}

#[test]
fn slots_of_a_lineage_that_is_taken_in_are_used_up() {
    let mut roll = Roll::default();
    join(&mut roll, 0, 0, 1);
    join(&mut roll, 1, 1, 1);
    assert!(matches!(put(&mut roll, Change::Absorbed(merger(8, 4, 2, 7))), Applied::Absorbed(_)));
    let came = |roll: &Roll| (0..7).filter(|slot| roll.came_along(Slot(*slot))).collect::<Vec<_>>();
    assert_eq!(came(&roll), [4, 5], "under their generation, whether anybody comes or not");
    // Once more replaces what was known of it; another is another.
    put(&mut roll, Change::Absorbed(merger(8, 4, 2, 7)));
    put(&mut roll, Change::Absorbed(merger(9, 6, 1, 7)));
    assert_eq!(roll.absorbed().iter().map(|m| m.lineage.0).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(came(&roll), [4, 5, 6]);
    // A slot that somebody has stays its own, in its generation.
    put(&mut roll, Change::Absorbed(merger(7, 0, 1, 9)));
    assert_eq!(came(&roll), [4, 5, 6]);
    assert_eq!(roll.get(Slot(0)).map(|(generation, _)| generation), Some(Generation(1)));
    // Up to the last slot there may be, and no further.
    put(&mut roll, Change::Absorbed(merger(5, MAX_SLOT, 1, 3)));
    assert!(!roll.came_along(Slot(MAX_SLOT)));
    put(&mut roll, Change::Absorbed(merger(5, MAX_SLOT - 1, 1, 3)));
    assert!(roll.came_along(Slot(MAX_SLOT - 1)));
}

#[test]
fn who_left_or_is_off_the_line_took_what_it_had_begun_along() {
    let mut roll = Roll::default();
    for n in 0..4 {
        join(&mut roll, n, n, 1);
        put(&mut roll, Change::Seated(seat(n)));
    }
    let mut image = roll.image(Lineage(1), Position { term: Term(1), index: Index(9) });
    let begun = |slot: u32, generation: u16| Stage::Begun(Slot(slot), Generation(generation));
    let gone = Stage::Done(Outcome::Unknown(Lost::Gone));
    let ledger = |slot, stage| Ledger { slot: Slot(slot), below: 1, requests: vec![(1, stage)] };
    let stages = |roll: &Roll, image: &Image| {
        let since = roll.requests_since(image);
        since.into_iter().map(|l| (l.slot.0, l.requests[0].1.clone())).collect::<Vec<_>>()
    };
    image.requests = vec![ledger(0, begun(1, 1)), ledger(2, begun(1, 2)), ledger(3, begun(2, 1))];
    // The second was given to one of another generation than is there.
    let now = [(0, begun(1, 1)), (2, gone.clone()), (3, begun(2, 1))];
    assert_eq!(stages(&roll, &image), now);
    // A giver that is taken off the line, one that becomes another voter, and a sender that leaves.
    put(&mut roll, Change::Unseated { id: id(1), identity: Identity(11), keep: true });
    assert_eq!(stages(&roll, &image)[0], (0, gone.clone()));
    let (generation, revision) = (Generation(1), 6);
    let restood =
        Change::Restood { slot: Slot(2), generation, revision, standing: Standing::Candidate, identity: Identity(99) };
    put(&mut roll, restood);
    assert_eq!(stages(&roll, &image)[2], (3, gone.clone()));
    leave(&mut roll, 3, 1);
    assert_eq!(stages(&roll, &image).len(), 2);
    // One that wasn't on the line then, and isn't now, may give it all the same.
    let mut roll = Roll::default();
    (0..2).for_each(|n| assert!(join(&mut roll, n, n, 1)));
    let mut image = roll.image(Lineage(1), Position { term: Term(1), index: Index(9) });
    image.requests = vec![ledger(0, begun(1, 1))];
    assert_eq!(stages(&roll, &image), [(0, begun(1, 1))]);
    // Its slot was given to another.
    leave(&mut roll, 1, 1);
    put(&mut roll, Change::Joined { slot: Slot(1), generation: Generation(2), info: info(7, 1) });
    assert_eq!(stages(&roll, &image), [(0, gone)]);
}
