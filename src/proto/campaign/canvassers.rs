//! Those who canvassed a voter lately and were refused: they are told when it gets free.

use crate::types::{Identity, NodeId, Time};
use crate::wire::Canvass;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many are remembered.
const MOST: usize = 16;

#[derive(Debug, Clone, Default)]
pub(in crate::proto) struct Canvassers(BTreeMap<Identity, (NodeId, Canvass, Time)>);

impl Canvassers {
    /// This one was refused. Whoever was longer ago than `lately` asks again anyway.
    pub(in crate::proto) fn refused(
        &mut self,
        now: Time,
        (id, identity): (&NodeId, Identity),
        canvass: Canvass,
        lately: Duration,
    ) {
        self.0.retain(|_, (.., at)| now - *at < lately);
        if self.0.len() < MOST || self.0.contains_key(&identity) {
            self.0.insert(identity, (id.clone(), canvass, now));
        }
    }

    /// All of them, who are told now.
    pub(in crate::proto) fn take(&mut self) -> impl Iterator<Item = (NodeId, Identity, Canvass)> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|(identity, (id, canvass, _))| (id, identity, canvass))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Lineage, Position, Term};

    fn refuse(canvassers: &mut Canvassers, ms: u64, who: u64, round: u32) {
        let canvass =
            Canvass { lineage: Lineage(1), term: Term(1), position: Position::default(), line_version: 1, round };
        let id = NodeId::new(&format!("n{who}")).unwrap();
        let now = Time::from_micros(ms * 1_000);
        canvassers.refused(now, (&id, Identity(who)), canvass, Duration::from_millis(300));
    }

    fn rounds(mut canvassers: Canvassers) -> Vec<(u64, u32)> {
        canvassers.take().map(|(_, identity, canvass)| (identity.0, canvass.round)).collect()
    }

    #[test]
    fn the_last_canvass_of_each_counts_for_a_while() {
        let mut c = Canvassers::default();
        refuse(&mut c, 0, 1, 10);
        refuse(&mut c, 100, 2, 20);
        refuse(&mut c, 200, 1, 11);
        assert_eq!(rounds(c.clone()), [(1, 11), (2, 20)]);
        refuse(&mut c, 399, 3, 30);
        assert_eq!(rounds(c.clone()), [(1, 11), (2, 20), (3, 30)]);
        refuse(&mut c, 400, 3, 31);
        assert_eq!(rounds(c.clone()), [(1, 11), (3, 31)], "the second one asked a detection time ago");
        assert_eq!(c.take().count(), 2);
        assert_eq!(c.take().count(), 0, "they are told once");
    }

    #[test]
    fn no_more_than_some_are_remembered() {
        let mut c = Canvassers::default();
        (0..40).for_each(|who| refuse(&mut c, 0, who, 1));
        refuse(&mut c, 1, 3, 2);
        let all = rounds(c);
        assert_eq!(all.len(), MOST);
        assert!(all.contains(&(3, 2)), "who is remembered already is so by its last canvass");
    }
}
