//! Which `Host` headers are ours. A page in a browser, or an application that can be talked into fetching URLs, reaches
//! the agent by a name of its own; SDKs reach it by its address.

use std::net::{IpAddr, SocketAddr};

use crate::settings::{AWS_IPV4, AWS_IPV6};

/// The addresses a request may be for: AWS's two and those the agent is bound to.
#[derive(Clone, Debug)]
pub struct OurHosts {
    addresses: Vec<IpAddr>,
    /// The spellings that SDKs send, so that the usual request costs a few comparisons and no parsing.
    usual: Vec<Box<[u8]>>,
}

impl OurHosts {
    /// AWS's two addresses and `bound`.
    pub fn new(bound: impl IntoIterator<Item = SocketAddr>) -> Self {
        let awss = [AWS_IPV4.into(), AWS_IPV6.into()].map(|address: IpAddr| SocketAddr::new(address, 80));
        let all: Vec<SocketAddr> = awss.into_iter().chain(bound).collect();
        let bare = |address: IpAddr| match address {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let usual = all.iter().flat_map(|address| [bare(address.ip()), address.to_string()]);
        let usual = usual.map(|text| text.into_bytes().into_boxed_slice()).collect();
        Self { addresses: all.iter().map(SocketAddr::ip).collect(), usual }
    }

    /// The addresses themselves.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.clone()
    }

    /// Whether `host` names one of them: with or without port, with or without brackets (the CRT's SDKs send IPv6
    /// addresses without).
    pub fn include(&self, host: &[u8]) -> bool {
        self.usual.iter().any(|usual| **usual == *host)
            || std::str::from_utf8(host).is_ok_and(|host| self.names_one(host))
    }

    fn names_one(&self, host: &str) -> bool {
        let is_ours =
            |text: &str| text.parse().is_ok_and(|address: IpAddr| self.addresses.contains(&address));
        let is_port = |text: &str| text.parse::<u16>().is_ok();
        if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return is_ours(address) && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        // Without brackets, "fd00:ec2::23:80" may be an address or an address with a port: whichever is ours.
        is_ours(host)
            || host.rsplit_once(':').is_some_and(|(address, port)| is_ours(address) && is_port(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_are_known_however_sdks_spell_them() {
        let hosts = OurHosts::new(["127.0.0.1:17023".parse().unwrap(), "[::1]:17023".parse().unwrap()]);
        for ours in [
            "169.254.170.23",
            "169.254.170.23:80",
            "169.254.170.23:8080",
            "[fd00:ec2::23]",
            "[fd00:ec2::23]:80",
            "[FD00:EC2::23]",
            "[fd00:ec2:0:0::23]:1",
            "fd00:ec2::23",
            "fd00:ec2::23:80",
            "127.0.0.1:17023",
            "[::1]:9",
            "::1",
        ] {
            assert!(hosts.include(ours.as_bytes()), "{ours}");
        }
    }

    #[test]
    fn everything_else_is_somebody_elses() {
        let hosts = OurHosts::new([]);
        for foreign in [
            "",
            "localhost",
            "127.0.0.1",
            "169.254.169.254",
            "169.254.170.23.evil.example",
            "evil.example",
            "169.254.170.2",
            "169.254.170.23:",
            "169.254.170.23:http",
            "169.254.170.23:99999",
            "[fd00:ec2::23",
            "fd00:ec2::23]",
            "[fd00:ec2::23]x",
            "[fd00:ec2::23]:x",
            "0xa9.254.170.23",
            "169.254.170.23 ",
            "169.254.170.023",
            "fd00:ec2::24",
        ] {
            assert!(!hosts.include(foreign.as_bytes()), "{foreign}");
        }
        assert!(!hosts.include(&[0xff, 0xfe]));
    }
}
