//! Which process listens on a port of this node, out of `/proc`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening socket, in the kernel's tables.
const LISTEN: &str = "0A";

/// The program that listens on this address or on all of them, such as `nginx (process 7)`; `None` if that cannot be seen.
pub(super) fn holder(address: SocketAddr) -> Option<String> {
    let inodes: Vec<String> = ["tcp", "tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/self/net/{table}")).ok())
        .flat_map(|table| sockets(&table, address))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        if !links.any(|link| wanted.iter().any(|wanted| link.as_os_str() == wanted.as_str())) {
            return None;
        }
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(format!("{} (process {pid})", name.trim()))
    })
}

/// The inodes of the sockets that take connections to `address`, of one of the kernel's tables.
fn sockets(table: &str, address: SocketAddr) -> Vec<String> {
    let takes = |ip: IpAddr| {
        let ip = ip.to_canonical();
        ip == address.ip() || ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4())
    };
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = columns.get(1)?.split_once(':')?;
        let is_it = *columns.get(3)? == LISTEN
            && u16::from_str_radix(port, 16).ok()? == address.port()
            && takes(kernels(ip)?);
        is_it.then(|| columns.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// The kernel prints addresses as words of 32 bits in its own byte order.
fn kernels(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..text.len() / 8)
        .map(|word| Some(u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    match words?.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found_by_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = holder(address).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(super::holder(address), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_listener_on_all_addresses_takes_connections_to_each() {
        let table = "  sl  local_address rem_address   st\n   \
            0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   \
            1: 17AAFEA9:0050 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(sockets(table, "169.254.170.23:80".parse().unwrap()), ["4711"]);
        assert!(sockets(table, "169.254.170.23:81".parse().unwrap()).is_empty());
        let dual = table.replace("00000000:0050", "00000000000000000000000000000000:0050");
        assert_eq!(sockets(&dual, "169.254.170.23:80".parse().unwrap()), ["4711"]);
    }
}
