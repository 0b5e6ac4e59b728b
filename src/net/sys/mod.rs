//! What depends on the operating system, in one place: [`linux`], and beside it the way that works everywhere.
//!
//! Building with `--cfg convoke_portable` takes the portable way on Linux too, so that it can be tested there.

#[cfg(all(target_os = "linux", not(convoke_portable)))]
mod linux;
#[cfg(any(not(target_os = "linux"), convoke_portable))]
mod portable;

#[cfg(all(target_os = "linux", not(convoke_portable)))]
pub(crate) use linux::*;
#[cfg(any(not(target_os = "linux"), convoke_portable))]
pub(crate) use portable::*;

use std::cell::Cell;

/// How many datagrams are taken from a socket at a time.
pub(crate) const BATCH: usize = 32;

/// The size of a datagram's buffer: more than the largest datagram of ours, so that a longer one is seen to be longer.
pub(crate) const BUFFER: usize = 1_216;

/// Lends the buffers of this thread: all nodes on it share them, however many there are.
pub(crate) fn with_receiver<R>(run: impl FnOnce(&mut Receiver) -> R) -> R {
    thread_local! {
        static SHARED: Cell<Option<Box<Receiver>>> = const { Cell::new(None) };
    }
    // Taken out while in use, so that a closure which receives for another node finds none and makes its own.
    let mut receiver = SHARED.take().unwrap_or_else(|| Box::new(Receiver::new()));
    let result = run(&mut receiver);
    SHARED.set(Some(receiver));
    result
}

/// What one call of [`Receiver::receive`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// So many datagrams. Fewer than [`BATCH`]: no more were waiting.
    pub(crate) count: usize,
    /// The kernel has dropped datagrams of this socket at some time; how many, [`Receiver::receive_drops`] tells.
    pub(crate) drops: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use mio::net::UdpSocket;
    use std::net::SocketAddr;

    fn wait(f: impl FnMut() -> bool) {
        crate::net::testing::wait_until(f);
    }

    fn pair(ip: &str) -> (UdpSocket, std::net::UdpSocket) {
        let to = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        let from = std::net::UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        (to, from)
    }

    #[test]
    fn batches_keep_order_bounds_and_senders() {
        for ip in ["127.0.0.1", "::1"] {
            let (to, from) = pair(ip);
            let sizes: Vec<usize> = (0..50).map(|i| if i == 40 { 3_000 } else { i * 20 }).collect();
            for (i, size) in sizes.iter().enumerate() {
                from.send(&vec![i as u8; *size]).unwrap();
            }
            let mut receiver = Receiver::new();
            let mut got = Vec::new();
            wait(|| {
                let sender = from.local_addr().unwrap();
                let result = receiver.receive(&to, ip == "::1", &mut |addr, bytes: &[u8]| {
                    assert_eq!(addr, sender);
                    got.push((bytes.len(), bytes.first().copied()));
                });
                assert!(result.is_ok_and(|r| r.count <= BATCH && !r.drops) || got.len() == 50);
                got.len() == 50
            });
            for (i, (len, first)) in got.into_iter().enumerate() {
                assert_eq!(len, sizes[i].min(BUFFER), "an oversized one is cut, but seen to be longer than ours");
                assert_eq!(first, (sizes[i] > 0).then_some(i as u8));
            }
            let empty = receiver.receive(&to, ip == "::1", &mut |_, _: &[u8]| {});
            assert_eq!(empty.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_clock_goes_on() {
        let a = clock_us();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let b = clock_us();
        assert!((1_900..1_000_000).contains(&(b - a)), "{} us passed", b - a);
    }
}
