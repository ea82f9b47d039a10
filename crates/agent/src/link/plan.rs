//! What there is for an address, and what is missing. No I/O: the rules of the link, as far as they can be told apart from
//! the kernel.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::LINK;

/// An address the link shall have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) address: IpAddr,
    /// Whether nothing works without it.
    pub(super) required: bool,
}

/// What the kernel has, as far as one address is concerned. Links are named.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Whether our link is there, and up.
    pub(super) link: Option<Up>,
    /// The links that have the address.
    pub(super) on: Vec<String>,
    /// The links that the main table has a host route to it through.
    pub(super) routed_to: Vec<String>,
}

/// Whether a link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Up(pub(super) bool);

/// One change of the node's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the link.
    MakeLink,
    /// Give it an address, alone in its network.
    AddAddress(IpAddr),
    /// Bring it up.
    BringUp,
    /// Route the address to it, in the main table.
    AddRoute(IpAddr),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeLink => write!(f, "make the link {LINK}"),
            Self::AddAddress(address) => write!(f, "add {address} to {LINK}"),
            Self::BringUp => write!(f, "bring {LINK} up"),
            Self::AddRoute(address) => write!(f, "route {address} to {LINK}"),
        }
    }
}

/// Something of the node's is where the agent's should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// Another link has the address.
    #[error(
        "the address {address} is on the link {link}: remove it there (ip address del {address} dev {link})"
    )]
    Address {
        /// The address.
        address: IpAddr,
        /// The link that has it.
        link: String,
    },
    /// Another link has the route.
    #[error(
        "{address} is routed to the link {link}: remove that route (ip route del {address} dev {link}), \
         or find out which program made it"
    )]
    Route {
        /// The address.
        address: IpAddr,
        /// The link the route leads to.
        link: String,
    },
}

/// The steps that are missing, in order.
pub(super) fn missing(found: &Found, address: IpAddr) -> Result<Vec<Step>, Conflict> {
    let elsewhere = |links: &[String]| links.iter().find(|link| *link != LINK).cloned();
    if let Some(link) = elsewhere(&found.on) {
        return Err(Conflict::Address { address, link });
    }
    if let Some(link) = elsewhere(&found.routed_to) {
        return Err(Conflict::Route { address, link });
    }
    let mut steps = Vec::new();
    if found.link.is_none() {
        steps.push(Step::MakeLink);
    }
    if found.on.is_empty() {
        steps.push(Step::AddAddress(address));
    }
    // A route needs a link that is up.
    if found.link != Some(Up(true)) {
        steps.push(Step::BringUp);
    }
    if found.routed_to.is_empty() {
        steps.push(Step::AddRoute(address));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(crate::settings::AWS_IPV4);

    fn found(link: Option<bool>, on: &[&str], routed_to: &[&str]) -> Found {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Found { link: link.map(Up), on: names(on), routed_to: names(routed_to) }
    }

    #[test]
    fn what_is_missing_is_made_in_an_order_that_works_and_what_is_there_is_left_alone() {
        use Step::{AddAddress, AddRoute, BringUp, MakeLink};
        for (found, wanted) in [
            (found(None, &[], &[]), vec![MakeLink, AddAddress(ADDRESS), BringUp, AddRoute(ADDRESS)]),
            (found(Some(false), &[], &[]), vec![AddAddress(ADDRESS), BringUp, AddRoute(ADDRESS)]),
            (found(Some(true), &[LINK], &[]), vec![AddRoute(ADDRESS)]),
            (found(Some(false), &[LINK], &[LINK]), vec![BringUp]),
            (found(Some(true), &[LINK], &[LINK]), vec![]),
        ] {
            assert_eq!(missing(&found, ADDRESS), Ok(wanted), "{found:?}");
        }
    }

    #[test]
    fn an_address_or_a_route_on_another_link_is_named_with_what_to_do() {
        let taken = missing(&found(Some(true), &[LINK, "eth0"], &[LINK]), ADDRESS).unwrap_err();
        assert_eq!(taken, Conflict::Address { address: ADDRESS, link: "eth0".into() });
        assert!(taken.to_string().contains("ip address del 169.254.170.23 dev eth0"), "{taken}");
        let routed = missing(&found(None, &[], &["cilium_host"]), ADDRESS).unwrap_err();
        assert_eq!(routed, Conflict::Route { address: ADDRESS, link: "cilium_host".into() });
        assert!(routed.to_string().contains("ip route del 169.254.170.23 dev cilium_host"), "{routed}");
    }
}
