//! Which of two listeners on one address gets a new connection (socket(7), `SO_ATTACH_REUSEPORT_CBPF`).
//!
//! The kernel keeps listeners that share an address in the order in which they came, and asks a small program for the place of
//! the one that gets a connection. A place that does not exist means: any of them. So a program that always names the second place
//! serves two listeners, and does no harm when only one is left.

use std::io;
use std::os::fd::AsFd;

use nix::libc::{BPF_K, BPF_RET, sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

/// Counted from 0.
const SECOND: u32 = 1;

/// Sends all new connections to the listener that came second.
pub(crate) fn to_the_second(socket: &impl AsFd) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "both are below 2^16 by definition")]
    let mut program = [sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: SECOND }];
    let program = sock_fprog { len: 1, filter: program.as_mut_ptr() };
    setsockopt(socket, AttachReusePortCbpf, &program)?;
    Ok(())
}
