use super::*;

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1_000)
}

fn detector() -> Detector {
    let mut d = Detector::new(ms(0), Duration::from_millis(100), Duration::from_millis(300));
    d.add(ms(0), Slot(0), Generation(1), true);
    d
}

fn run(d: &mut Detector, from: u64, to: u64) -> Vec<(u64, Verdict)> {
    let mut seen = Vec::new();
    for t in from..to {
        d.sweep(ms(t), |_| ());
        while let Some(v) = d.poll() {
            seen.push((t, v));
        }
    }
    seen
}

#[test]
fn a_silent_member_is_probed_then_asked_for_then_gone() {
    let mut d = detector();
    let seen = run(&mut d, 0, 1_000);
    let kinds: Vec<_> = seen.iter().map(|(_, v)| *v).collect();
    assert_eq!(kinds, [Verdict::Probe(Slot(0)), Verdict::Ask(Slot(0)), Verdict::Gone(Slot(0))]);
    assert!(seen[0].0 > 300 && seen[2].0 > 500, "{seen:?}");
}

#[test]
fn a_beat_of_another_generation_is_nobodys() {
    let mut d = detector();
    assert!(!d.beat(ms(1), Slot(0), Generation(2), 1));
    assert!(!d.beat(ms(1), Slot(9), Generation(1), 1));
    assert!(d.beat(ms(1), Slot(0), Generation(1), 1));
    d.remove(Slot(0));
    assert!(!d.beat(ms(1), Slot(0), Generation(1), 1));
    assert!(!d.beat(ms(1), Slot(0), Generation(0), 1), "a free slot has no generation");
}

#[test]
fn an_answer_to_the_probe_is_enough() {
    let mut d = detector();
    assert_eq!(run(&mut d, 0, 330).len(), 1);
    assert!(d.alive(ms(330), Slot(0), Generation(1)));
    assert!(run(&mut d, 330, 600).is_empty());
}

#[test]
fn lateness_of_the_node_itself_accuses_nobody() {
    let mut d = detector();
    d.excuse(ms(1_000), Duration::from_millis(1_000));
    assert!(run(&mut d, 1_000, 1_390).is_empty());
    d.beat(ms(1_390), Slot(0), Generation(1), 7);
    assert!(run(&mut d, 1_390, 1_600).is_empty());
}

#[test]
fn who_does_not_move_is_deaf_until_it_does() {
    let mut d = detector();
    let mut deaf = Vec::new();
    for t in 0..400 {
        d.sweep(ms(t), |s| deaf.push(s));
        d.beat(ms(t), Slot(0), Generation(1), 5);
    }
    assert_eq!(deaf, [Slot(0)]);
    assert_eq!(d.deaf().count(), 1);
    d.beat(ms(401), Slot(0), Generation(1), 6);
    assert_eq!(d.deaf().count(), 0);
}

#[test]
fn verdicts_come_after_exactly_so_long() {
    let mut d = detector();
    // Heard at 0; a slice is looked at each 12.5 ms. At 300 ms it was not silent for longer than 300.
    let at = |d: &mut Detector, t: u64| {
        d.next_slice = ms(0);
        d.sweep(ms(t), |_| ());
        d.poll()
    };
    assert_eq!(at(&mut d, 300), None);
    assert_eq!(at(&mut d, 301), Some(Verdict::Probe(Slot(0))));
    assert_eq!(at(&mut d, 401), None);
    assert_eq!(at(&mut d, 402), Some(Verdict::Ask(Slot(0))));
    assert_eq!(at(&mut d, 502), None);
    assert_eq!(at(&mut d, 503), Some(Verdict::Gone(Slot(0))));
    assert_eq!(at(&mut d, 2_000), None, "told once");
    // A sign of life doesn't undo it: only who struck it off, or couldn't, says so.
    assert!(d.beat(ms(2_000), Slot(0), Generation(1), 1) && d.alive(ms(2_000), Slot(0), Generation(1)));
    assert_eq!(at(&mut d, 2_301), None);
    d.pardon(ms(2_400), Slot(0));
    assert_eq!(at(&mut d, 2_700), None);
    assert_eq!(at(&mut d, 2_701), Some(Verdict::Probe(Slot(0))));
    d.pardon(ms(2_701), Slot(7));
    d.remove(Slot(0));
    d.pardon(ms(2_702), Slot(0));
    assert_eq!(at(&mut d, 9_000), None, "a free slot stays free");
}

#[test]
fn each_sweep_looks_at_an_eighth_and_probes_so_many() {
    let mut d = Detector::new(ms(0), Duration::from_millis(80), Duration::from_millis(240));
    assert_eq!(d.deadline(), ms(10));
    for n in 0..1_000 {
        d.add(ms(0), Slot(n), Generation(1), true);
    }
    d.sweep(ms(9), |_| ());
    assert_eq!(d.deadline(), ms(10), "not due");
    let mut probed = Vec::new();
    for t in 0..8 {
        d.sweep(ms(1_000 + t * 10), |_| ());
        assert_eq!(d.deadline(), ms(1_010 + t * 10));
        let now: Vec<_> = std::iter::from_fn(|| d.poll()).collect();
        assert_eq!(now.len(), PROBES_PER_SLICE);
        probed.extend(now);
    }
    let slots: BTreeSet<u32> = probed.iter().map(|v| if let Verdict::Probe(s) = v { s.0 } else { 9_999 }).collect();
    assert_eq!(slots.len(), 8 * PROBES_PER_SLICE, "each another one");
    // The table begins anew after its end: those that were left out are next.
    d.sweep(ms(1_080), |_| ());
    assert_eq!(d.poll(), Some(Verdict::Probe(Slot(64))));
}

#[test]
fn a_beat_and_a_sign_of_life_are_their_owners() {
    let mut d = detector();
    assert!(!d.alive(ms(1), Slot(0), Generation(2)) && !d.alive(ms(1), Slot(5), Generation(1)));
    d.remove(Slot(0));
    assert!(!d.alive(ms(1), Slot(0), Generation(1)) && !d.alive(ms(1), Slot(0), Generation(0)));
    d.remove(Slot(77));
    // A slot further up leaves those before it free.
    d.add(ms(0), Slot(3), Generation(4), true);
    assert!(!d.beat(ms(1), Slot(2), Generation(0), 1) && d.beat(ms(1), Slot(3), Generation(4), 1));
    d.add(ms(0), Slot(1), Generation(2), true);
    assert!(d.beat(ms(1), Slot(3), Generation(4), 1), "nobody else is touched");
}

#[test]
fn who_never_spoke_gets_a_few_heartbeats_by_unicast() {
    let mut d = detector();
    d.add(ms(0), Slot(1), Generation(1), false);
    assert!(!d.needs_unicast(Slot(1)), "nobody vouches for its address");
    for _ in 0..CREDIT {
        assert_eq!(d.deaf().collect::<Vec<_>>(), [Slot(1)]);
    }
    assert_eq!(d.deaf().count(), 0);
    assert!(d.alive(ms(1), Slot(1), Generation(1)));
    for _ in 0..10 {
        assert_eq!(d.deaf().count(), 1);
    }
    assert!(d.needs_unicast(Slot(1)) && !d.needs_unicast(Slot(0)));
    assert!(d.beat(ms(2), Slot(0), Generation(1), 3));
    assert!(!d.needs_unicast(Slot(0)), "it hears the multicast");
    d.add(ms(3), Slot(1), Generation(2), true);
    assert!(!d.needs_unicast(Slot(1)) && d.deaf().count() == 0);
    d.add(ms(3), Slot(1), Generation(3), false);
    d.remove(Slot(1));
    assert_eq!(d.deaf().count(), 0);
}

#[test]
fn who_is_deaf_is_told_once_after_two_intervals() {
    let mut d = detector();
    let mut deaf = Vec::new();
    let mut look = |d: &mut Detector, t: u64| {
        d.next_slice = ms(0);
        d.sweep(ms(t), |s| deaf.push(s));
        deaf.len()
    };
    assert!(d.beat(ms(100), Slot(0), Generation(1), 5));
    assert_eq!(look(&mut d, 300), 0);
    assert_eq!(look(&mut d, 301), 1);
    assert_eq!(look(&mut d, 302), 1);
    // A voter that acknowledges heartbeats hears them.
    let mut d = detector();
    assert!(d.alive(ms(200), Slot(0), Generation(1)));
    assert_eq!(look(&mut d, 400), 1, "only the one of before");
    assert_eq!(look(&mut d, 401), 2);
}

#[test]
fn leniency_lasts_as_long_as_the_node_was_late_and_an_interval() {
    let mut d = detector();
    d.excuse(ms(1_000), Duration::from_millis(50));
    let at = |d: &mut Detector, t: u64| {
        d.next_slice = ms(0);
        d.sweep(ms(t), |_| ());
        d.poll()
    };
    assert_eq!(at(&mut d, 1_149), None);
    assert_eq!(at(&mut d, 1_150), Some(Verdict::Probe(Slot(0))));
    let mut d = detector();
    d.excuse(ms(1_000), Duration::from_millis(5_000));
    d.excuse(ms(1_001), Duration::from_millis(1));
    assert_eq!(at(&mut d, 1_399), None, "the detection time at most, and no excuse shortens another");
    assert_eq!(at(&mut d, 1_400), Some(Verdict::Probe(Slot(0))));
}

#[test]
fn who_spoke_is_heard_for_the_detection_time_and_has_spoken_for_good() {
    let mut d = detector();
    let of = |d: &Detector, at| (d.hears(ms(at), Slot(0)), d.has_spoken(Slot(0)));
    assert_eq!(of(&d, 0), (false, false), "it was only expected");
    assert!(d.beat(ms(10), Slot(0), Generation(1), 1));
    assert_eq!((of(&d, 10), of(&d, 310), of(&d, 311)), ((true, true), (true, true), (false, true)));
    assert!(!d.hears(ms(10), Slot(1)) && !d.has_spoken(Slot(1)));
    d.remove(Slot(0));
    assert_eq!(of(&d, 10), (false, false), "nobody has the slot");
}
