//! The addresses on which pods reach the agent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Mistake;

/// The IPv4 address that AWS's SDKs accept for pod identity.
pub const AWS_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);

/// The IPv6 address that AWS's SDKs accept for pod identity.
pub const AWS_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

/// One address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindHost {
    /// The address.
    pub address: IpAddr,
    /// Whether the agent is of no use without it. Otherwise a node that has no such address is served without it.
    pub required: bool,
}

/// AWS's two addresses; many nodes have no IPv6.
pub(super) fn default() -> Vec<BindHost> {
    vec![
        BindHost { address: AWS_IPV4.into(), required: true },
        BindHost { address: AWS_IPV6.into(), required: false },
    ]
}

/// Reads the values of `--bind-hosts`: repeated, or separated by commas; brackets around IPv6 are optional. An empty
/// value means AWS's IPv4 address alone, as AWS's documentation uses it.
pub(super) fn read(given: &[String], allow_public: bool) -> Result<Vec<BindHost>, Vec<Mistake>> {
    let mut hosts: Vec<BindHost> = Vec::new();
    let mut mistakes = Vec::new();
    for text in given.iter().flat_map(|value| value.split(',')).map(str::trim) {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = if bare.is_empty() { Ok(AWS_IPV4.into()) } else { bare.parse::<IpAddr>() };
        match address {
            Ok(address) if allow_public || is_local(address) => {
                if !hosts.iter().any(|host| host.address == address) {
                    hosts.push(BindHost { address, required: true });
                }
            }
            Ok(_) => mistakes.push(Mistake::new(
                "--bind-hosts",
                text,
                "a loopback or link-local address, or one in fd00:ec2::/32: on any other, whoever reaches this node \
                 could ask for credentials (--allow-public-bind overrides)",
            )),
            Err(_) => mistakes.push(Mistake::new(
                "--bind-hosts",
                text,
                "an IP address such as 169.254.170.23 or [fd00:ec2::23], or nothing for the IPv4 one alone",
            )),
        }
    }
    if mistakes.is_empty() { Ok(hosts) } else { Err(mistakes) }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.segments()[..2] == AWS_IPV6.segments()[..2]
        }
    }
}
