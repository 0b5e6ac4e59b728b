//! Another floor, bench and seeds for a node that runs.

use super::config::Discovery;
use super::notice::{NetError, NetNotice};
use super::own;
use super::sockets::Net;
use super::udp::{self, GROUP_BUFFER, Way};

impl Net {
    /// Finds out whether [`Net::move_to`] will do. Nothing that others see changes.
    ///
    /// # Errors
    /// [`NetError`]: the group is of another family than this node's address, or can't be joined.
    pub fn prepare_move(&mut self, to: &Discovery) -> Result<(), NetError> {
        if let Some(group) = to.multicast {
            if group.is_ipv6() != self.local.is_ipv6() {
                return Err(NetError::OtherFamily { group, local: self.local });
            }
            for link in self.links.iter().filter(|l| l.iface.ip.is_ipv6() == group.is_ipv6()) {
                udp::group_socket(group, &link.iface, GROUP_BUFFER).map_err(|e| NetError::Join(group, e))?;
            }
        }
        let prepared = self.seeds.prepare(&to.seeds, &self.waker);
        prepared.map_err(|e| NetError::System("start the resolver", e))
    }

    /// Looks for others there from now on: on each interface the new group is joined and the old one left, and the seeds
    /// are those named there. What this node listens at stays as it is.
    pub fn move_to(&mut self, to: Discovery) {
        self.config.multicast = to.multicast;
        self.seeds.replace(&to.seeds);
        self.config.seeds = to.seeds;
        for slot in 0..self.udps.len() {
            if self.udps[slot].as_ref().is_some_and(|u| u.way != Way::Own) {
                self.remove_udp(slot);
                self.links.iter_mut().for_each(|l| l.sockets.retain(|s| *s != slot));
            }
        }
        self.follow_broadcast();
        for at in (0..self.links.len()).rev() {
            let iface = self.links[at].iface.clone();
            let mut sockets = Vec::new();
            let joined = self.join_groups(&iface, &mut sockets);
            self.links[at].sockets.append(&mut sockets);
            if let Err(why) = joined {
                // The next look at the interfaces tries it again.
                self.notify(NetNotice::InterfaceSkipped(iface.name, why));
                self.drop_link(at);
            }
        }
        let v6 = own::is_v6(&self.config);
        self.both_families |= self.local.is_ipv6() != v6 || self.seeds.families().any(|other| other != v6);
        self.refresh_links();
    }
}
