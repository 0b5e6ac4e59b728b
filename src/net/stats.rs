//! The counters of the sockets' layer.

/// Counters of the sockets' layer. They only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetStats {
    /// Datagrams received, those included that were this node's own.
    pub datagrams_in: u64,
    /// Datagrams sent, one for each interface or address.
    pub datagrams_out: u64,
    /// This node's own multicast and broadcast, come back.
    pub datagrams_own: u64,
    /// Broadcasts from networks that weren't chosen.
    pub datagrams_foreign: u64,
    /// Datagrams that the kernel dropped because its buffer was full. Counted on Linux.
    pub receive_drops: u64,
    /// Receive calls that failed.
    pub receive_errors: u64,
    /// Datagrams that could not be sent.
    pub send_errors: u64,
    /// Datagrams that no socket of this node can send (another family of addresses).
    pub send_unroutable: u64,
    /// Bytes read from streams.
    pub stream_bytes_in: u64,
    /// Bytes written to streams.
    pub stream_bytes_out: u64,
    /// Connections closed because too much waited to be sent on them.
    pub streams_overflowed: u64,
    /// Connections accepted.
    pub accepts: u64,
    /// Connections refused because there were too many.
    pub accepts_refused: u64,
    /// Calls to accept that failed.
    pub accepts_failed: u64,
}
