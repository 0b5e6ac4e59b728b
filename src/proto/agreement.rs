//! Property 7 as a function of the configuration: within which time all nodes agree on leader, term and line, once the
//! network is whole, all processes run, and a majority of the line is what it was, or recovery applies.
//!
//! With o, l and w as in [`Config::bounds`] (a hop is o + l), h the interval, D the detection time, s the election step,
//! r = 4·s an election round, n the voters, G the time after which the system gives up a dial, P = max(D, 200 ms) the
//! patience with a connection that says nothing:
//!
//! | term | formula | why |
//! | --- | --- | --- |
//! | connections | G + P + h + 4·(o + l) | a dial from before hangs for G; then one that stood unseen dead is given up after P, and dialled anew at the latest h later; the handshake |
//! | aftermath | max(4·D, 2·D + 8·r) | a leader whose entries don't get through gives up after 3·D and abstains for D; its voters protect it for D, and a restarted one waits for D; who leaves goes within 2·D + 8·r |
//! | election | (n − 1)·s + 2·r + Σ(k = 1, 2, 3) (2·r + 1.5·min(2^k·s, D)) | all ranks before the winner pass, one that is on its way off the line waits 2·r longer; three tries collide, and each is repeated after a pause that doubles |
//! | child | 2·D + 3·5·r | those that are left of a dead line begin after 2·D without a leader; a call takes 2·r, up to 3·r pass until the next, and three are called at once |
//! | founding | 4·D + 3·3·h + D + h | who belongs to a founding that came to nothing leaves it after 4·D and three seeks, which are at most 3·h apart; another one takes the detection time to settle, and is proposed each h/2 |
//! | line | n·(h + 2·(4·(o + l) + 2·w)) | each voter may have to be taken off and put on again: it is level with the next heartbeat, and each of the two changes is a proposal and a commit |
//! | members | 12·h + 3.5·h + 4·(o + l) + w | without multicast a member seeks every 12·h at the latest, and asks for its registration after pauses of h/4, h/2 and h, each doubled by chance at most; the answer waits for the commit |
//! | arrivals | 5·D + 16·r | where nodes are on their way from another convention address: that long may their leave take |
//!
//! Where a bid there and back, 2·(o + l) + 2·w, takes longer than a round, rounds double from the third try on until it doesn't:
//! election and child last longer by 2·r' + 1.5·D for each such round r'.
//!
//! Connections and aftermath pass together; then there is an election, and perhaps a child, or a founding anew; then the
//! line is put in order, and the last member finds it: the bound is the larger of the first two, plus the larger of
//! (election + child) and founding, plus line, plus members. Arrivals come before all of it. Collisions of bidders are a
//! matter of chance: a fourth one in a row is as likely as four draws that fall together.

use super::bounds::LinkAssumption;
use super::config::Config;
use std::fmt;
use std::time::Duration;

/// Within which time all agree; see [`Config::agreement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// Until all voters have connections with each other.
    pub connections: Duration,
    /// Until what was led before is over.
    pub aftermath: Duration,
    /// Until one of them leads.
    pub election: Duration,
    /// How much longer it takes where a child lineage has to be founded.
    pub child: Duration,
    /// How long it takes where nothing was left to go on with.
    pub founding: Duration,
    /// Until the line is what it should be.
    pub line: Duration,
    /// Until the last member follows and is registered.
    pub members: Duration,
    /// Until those that are on their way from another convention address have left there.
    pub arrivals: Duration,
}

impl Agreement {
    /// The whole, where nobody has to come from another convention address.
    #[must_use]
    pub fn total(&self) -> Duration {
        let led = (self.election + self.child).max(self.founding);
        self.connections.max(self.aftermath) + led + self.line + self.members
    }

    /// The whole, where some have to.
    #[must_use]
    pub fn with_arrivals(&self) -> Duration {
        self.arrivals + self.total()
    }
}

impl Config {
    /// Within which time all nodes agree on leader, term and line, once the network is whole and all run (property 7), for
    /// so many voters; `dial` is the time after which the system gives up a connection that is being made.
    ///
    /// ```
    /// use convoke::proto::{Config, LinkAssumption};
    /// use convoke::types::{ConventionId, NodeId};
    /// use std::time::Duration;
    /// let config = Config::builder(ConventionId::new("site").unwrap(), NodeId::new("a").unwrap()).build().unwrap();
    /// let ms = Duration::from_millis(1);
    /// let link = LinkAssumption { one_way: ms, loop_lateness: ms, store_write: ms };
    /// let bound = config.agreement(5, &link, 3_000 * ms).total();
    /// assert!(bound > 50_000 * ms && bound < 65_000 * ms, "{bound:?}");
    /// ```
    #[must_use]
    pub fn agreement(&self, voters: usize, link: &LinkAssumption, dial: Duration) -> Agreement {
        let (h, d, s) = (self.heartbeat(), self.detection(), self.step());
        let (hop, r, n) = (link.one_way + link.loop_lateness, s * 4, voters.max(1) as u32);
        let patience = d.max(Duration::from_millis(200));
        let tries: Duration = (1..=3u32).map(|k| r * 2 + (s * (1 << k)).min(d) * 3 / 2).sum();
        let (bid, mut round, mut longer) = (hop * 2 + link.store_write * 2, r, Duration::ZERO);
        while round < bid.min(d) {
            round *= 2;
            longer += round * 2 + d * 3 / 2;
        }
        Agreement {
            connections: dial + patience + h + hop * 4,
            aftermath: (d * 4).max(d * 2 + r * 8),
            election: s * (n - 1) + r * 2 + tries + longer,
            child: d * 2 + r * 15 + longer,
            founding: d * 5 + h * 10,
            line: (h + (hop * 4 + link.store_write * 2) * 2) * n,
            members: h * 31 / 2 + hop * 4 + link.store_write,
            arrivals: d * 5 + r * 16,
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, aftermath, election, child, founding, line, members, arrivals } = self;
        write!(
            f,
            "all agree within {:?} once the network is whole: the larger of connections {connections:?} and aftermath \
             {aftermath:?}, the larger of election {election:?} with child {child:?} and founding {founding:?}, line \
             {line:?}, members {members:?}; arrivals from elsewhere {arrivals:?}",
            self.total()
        )
    }
}
