//! What a world sees of foundings.

use super::super::host::{Host, HostId, Seen};
use super::super::process::Process;
use super::World;
use crate::proto::Founding;
use crate::types::{Index, Line, Lineage, Seat};

/// A founding's own entries are no more than these.
const FOUNDED: Index = Index(2);

impl World {
    /// A voter shows what it holds: it knows of that lineage from then on; and the first that shows a commit of a lineage
    /// without parents shows a founding.
    pub(super) fn observe_founding(&mut self, h: u32, p: &Process, is: Seen) {
        let Some(watch) = &mut self.watch else { return };
        if is.commit == Index::ZERO || is.lineage == Lineage::ZERO || !p.node.standing().votes() {
            return;
        }
        let family = watch.family.root(is.lineage);
        if is.commit > FOUNDED {
            watch.founders.holds(h, family);
        }
        if !p.node.parents().is_empty() || family != is.lineage || !watch.founders.is_new(is.lineage) {
            return;
        }
        watch.checked[1] += 1;
        let party: Vec<u32> = (self.hosts.iter().zip(0..))
            .filter(|(host, at)| p.node.line().voters().any(|s| host.is_voter(*at == h, s)))
            .map(|(_, at)| at)
            .collect();
        let by_list = |at: &u32| {
            let host = &self.hosts[*at as usize];
            matches!(&host.config.founding, Some(Founding::List(_))) && host.disk.is_some()
        };
        let alive = if party.iter().all(by_list) { self.living(h, is.lineage) } else { Vec::new() };
        let verdict = self.watch.as_ref().map_or(Ok(()), |w| w.founders.founded(is.lineage, &party, alive.into_iter()));
        if let Err(what) = verdict {
            self.violated(1, what);
        }
    }

    /// Lineages, other than this node's, of which a majority of the last committed line is what it was and somebody holds
    /// the roll. (Those that came about: a founding after which nothing was committed may be given up.)
    fn living(&self, h: u32, but: Lineage) -> Vec<Lineage> {
        let Some(watch) = &self.watch else { return Vec::new() };
        let alive = |lineage: Lineage, line: &Line| {
            let others = || self.hosts.iter().zip(0..).map(|(host, at)| (host, at == h));
            let is_there = |s: &Seat| others().any(|(o, shows)| o.identity == s.identity && (shows || o.stays()));
            let held = others().any(|(o, shows)| !shows && o.holds_roll(lineage));
            let counts = |s: &&Seat| !watch.given_up.contains(&s.id) && is_there(s);
            held && line.voters().filter(counts).count() >= line.majority()
        };
        let roots = watch.lines.iter().filter(|(l, _)| watch.family.root(**l) == **l && **l != but);
        let come_about = roots.filter(|(_, (index, line))| *index > FOUNDED && line.voters().count() > 0);
        come_about.filter(|(l, (_, line))| alive(**l, line)).map(|(l, _)| *l).collect()
    }

    /// The node of this host may found anew, as far as it knows.
    pub(super) fn forget_lineage(&mut self, host: HostId) {
        if let Some(watch) = &mut self.watch {
            watch.founders.forgets(host.0);
        }
    }

    /// The process of a host ended: what it knew is what its store holds.
    pub(super) fn remember_lineage(&mut self, h: u32) {
        let Some(watch) = &mut self.watch else { return };
        let Some(known) = watch.founders.known(h) else { return };
        let kin = |lineage: Lineage| watch.family.root(lineage) == known;
        let kept = self.hosts[h as usize].disk.as_ref().is_some_and(|d| d.knows(kin));
        if !kept {
            watch.founders.forgets(h);
        }
    }
}

impl Host {
    /// True where the voter of this seat is on it; `shows`: its process is the one that is looked at.
    fn is_voter(&self, shows: bool, seat: &Seat) -> bool {
        self.identity == seat.identity && (shows || self.process.is_some())
    }
}
