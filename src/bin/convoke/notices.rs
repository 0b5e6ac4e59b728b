//! What a node finds out about its network, and its counters.

use crate::report::Line;
use convoke::net::{NetNotice, NetStats};
use convoke::proto::{Accusation, HandoverStep, Notice, Stats};
use convoke::types::NodeId;

/// A `network` line.
pub(crate) fn line(kind: &'static str, detail: impl Into<String>) -> Line {
    let detail = detail.into();
    Line::new("network", format!("{kind}: {detail}")).with("kind", kind).with("detail", detail)
}

fn names(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

/// The core's notices.
pub(crate) fn core(notice: &Notice) -> Line {
    match notice {
        Notice::MulticastDeaf => line("multicast_deaf", "the leader's heartbeats come, but not by multicast"),
        Notice::MulticastHeard => line("multicast_heard", "the leader's heartbeats come by multicast again"),
        Notice::UnicastFallback(id) => {
            line("unicast_fallback", format!("{id} hears no multicast: it is sent heartbeats by unicast"))
                .with("member", id.as_str())
        }
        Notice::VersionMismatch(ours, theirs) => {
            line("version_mismatch", format!("frames of wire version {theirs} arrive, ours is {ours}"))
        }
        Notice::ForeignLineage(ours, theirs) => line(
            "foreign_lineage",
            format!("another convention of this name is about: lineage {theirs}, ours is {ours}"),
        ),
        Notice::Contended(id) => {
            line("contended", format!("two nodes fight for the id {id}")).with("member", id.as_str())
        }
        Notice::WaitingFor(ids) => line("waiting_for", names(ids)),
        Notice::WaitingForConvention(lineage) => line(
            "waiting_for_convention",
            format!(
                "this candidate stepped down in lineage {lineage}: it founds nothing, and waits for that convention"
            ),
        ),
        Notice::WaitingForCandidates(expected, known) => {
            line("waiting_for_candidates", format!("{known} of {expected} candidates are here"))
        }
        Notice::RecoveryOrdered(ids) => {
            line("recovery_ordered", format!("an operator gives up {}: what they alone hold is lost", names(ids)))
        }
        Notice::Late(us) => line("late", format!("this node's loop was late by {us} microseconds")),
        Notice::Retired => line("retired", "this node was taken off the line for good: it is a plain member"),
        Notice::Accused(id, accusation) => {
            let what = match accusation {
                Accusation::Silent => "is silent: the leader probes it",
                Accusation::Unreachable => "doesn't answer the leader: another candidate is asked",
            };
            line("accused", format!("{id} {what}")).with("member", id.as_str())
        }
        Notice::Relayed(id, via) => line("relayed", format!("messages to and from {id} go through {via}"))
            .with("member", id.as_str())
            .with("via", via.as_str()),
        Notice::Handover(id, step) => {
            let (word, text) = match step {
                HandoverStep::Begun => ("begun", format!("hands over to {id}: decides nothing more")),
                HandoverStep::Blessed(..) => ("blessed", format!("leads no more, in favour of {id}")),
                HandoverStep::Done(term) => ("done", format!("{id} leads now, in term {term}")),
                HandoverStep::Aborted(why) => ("aborted", format!("no handover to {id}: {why}")),
                _ => ("other", format!("{step:?}")),
            };
            line("handover", text).with("member", id.as_str()).with("step", word)
        }
        other => line("other", format!("{other:?}")),
    }
}

/// The sockets' notices.
pub(crate) fn net(notice: &NetNotice) -> Line {
    line(notice.kind(), notice.to_string())
}

macro_rules! counters {
    ($(#[$doc:meta])* $function:ident, $stats:ty, $prefix:literal: $($field:ident)*) => {
        $(#[$doc])*
        pub(crate) fn $function(stats: &$stats) -> Vec<(&'static str, u64)> {
            vec![$((concat!($prefix, stringify!($field)), stats.$field)),*]
        }
    };
}

counters! {
    /// The core's counters, by name.
    counters, Stats, "":
    datagrams_in datagrams_out stream_bytes_in stream_bytes_out beats_in heartbeats_in
    dropped_truncated dropped_oversized dropped_not_ours dropped_other_version dropped_other_convention
    dropped_other_lineage dropped_checksum dropped_unknown_kind dropped_malformed dropped_keyed dropped_stale
    dropped_unexpected dropped_term_leap
    streams_cut streams_cut_crowded streams_cut_silent streams_cut_malformed streams_cut_flooding canvasses bids grants leaderships leases_lost probes_sent news_in news_out repairs joins_out mergers late
    messages_out messages_in messages_returned messages_dropped lanes_opened lanes_closed
    broadcasts_out broadcasts_in broadcasts_missed said_multicast said_unicast
    calls calls_failed circuits_opened circuits_refused circuits_cut relayed_bytes
    finds_dropped requests_out requests_in requests_delayed request_batches answers_dropped
}

counters! {
    /// The sockets' counters, by name.
    socket_counters, NetStats, "socket_":
    datagrams_in datagrams_out datagrams_own datagrams_foreign receive_drops receive_errors send_errors
    send_unroutable stream_bytes_in stream_bytes_out streams_overflowed accepts accepts_refused accepts_failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_counter_is_missing() {
        let all = [
            (format!("{:?}", Stats::default()), counters(&Stats::default())),
            (format!("{:?}", NetStats::default()), socket_counters(&NetStats::default())),
        ];
        for (shown, listed) in all {
            assert_eq!(shown.matches(": ").count(), listed.len(), "{shown}");
            for (name, _) in listed {
                assert!(shown.contains(name.trim_start_matches("socket_")), "{name}");
            }
        }
    }
}
