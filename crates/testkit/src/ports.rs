//! Ports for processes that must be told theirs before they start.
//!
//! A port that the kernel picked and that was let go again may be anybody's a moment later: the kernel gives it to the
//! next connection. So ports are taken from below those that the kernel gives, and each is claimed for as long as it
//! is used: by a socket with an abstract name, which no two processes can hold and which ends with its process.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below them are well-known ports.
const FIRST: usize = 20_000;

/// A port of loopback that is its holder's alone.
pub struct Port {
    address: SocketAddr,
    _claim: UnixDatagram,
}

impl Port {
    /// A port that nobody listens on and no other test claims.
    pub fn claim() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let count = first_of_kernel() - FIRST;
        // Processes side by side begin at different places.
        let start = std::process::id() as usize * 97;
        (0..count)
            .find_map(|_| Self::try_claim(FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % count))
            .expect("no port of loopback is free")
    }

    fn try_claim(port: usize) -> Option<Self> {
        let name =
            std::os::unix::net::SocketAddr::from_abstract_name(format!("pod-identity-test-port-{port}"));
        let claim = UnixDatagram::bind_addr(&name.unwrap()).ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        TcpListener::bind(address).ok()?;
        Some(Self { address, _claim: claim })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The first of the ports that the kernel gives to connections.
fn first_of_kernel() -> usize {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first = range.split_whitespace().next().unwrap().parse().unwrap();
    assert!(
        first > FIRST,
        "the kernel gives the ports from {first} on to connections: tests need some below"
    );
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_holder_and_is_none_that_the_kernel_gives_away() {
        let ports: Vec<_> = (0..300).map(|_| Port::claim()).collect();
        let distinct: std::collections::HashSet<_> = ports.iter().map(Port::address).collect();
        assert_eq!(distinct.len(), ports.len());
        for port in &ports {
            let number = usize::from(port.address().port());
            assert!(number < first_of_kernel());
            assert!(Port::try_claim(number).is_none(), "{number} is claimed twice");
        }
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given() {
        let address = Port::claim().address();
        let _listener = TcpListener::bind(address).unwrap();
        assert!(Port::try_claim(usize::from(address.port())).is_none());
    }
}
