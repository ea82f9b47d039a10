//! The kernel's links, addresses and routes, over netlink.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope};
use rtnetlink::{Error, Handle, LinkBridge, LinkDummy, LinkUnspec, RouteMessageBuilder};
use rustix::io::Errno;
use tokio::task::JoinHandle;

use super::plan::{Found, Up};
use super::{LINK, LinkError, Step};

/// An open connection to the kernel.
pub(super) struct Kernel {
    netlink: Handle,
    connection: JoinHandle<()>,
}

/// What a step made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// What was asked for.
    AsAsked,
    /// A bridge, where a dummy link cannot be had.
    Bridge,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Kernel {
    pub(super) fn connect() -> Result<Self, LinkError> {
        let (connection, netlink, _) =
            rtnetlink::new_connection().map_err(|error| LinkError::Unknown(error.to_string()))?;
        Ok(Self { netlink, connection: tokio::spawn(connection) })
    }

    /// What there is for an address.
    pub(super) async fn look(&self, address: IpAddr) -> Result<Found, LinkError> {
        let links = self.links().await?;
        let name = |index: u32| links.get(&index).map_or_else(|| format!("number {index}"), name_of);
        let link = links.values().find(|link| name_of(link) == LINK);
        let on = self.addresses().await?.into_iter().filter(|(_, ip)| *ip == address);
        let on = on.map(|(index, _)| name(index)).collect();
        let routed_to = self.host_routes(address).await?.into_iter().map(name).collect();
        Ok(Found { link: link.map(|link| Up(link.header.flags.contains(LinkFlags::Up))), on, routed_to })
    }

    /// All addresses of our link.
    pub(super) async fn addresses_of_link(&self) -> Result<Vec<IpAddr>, LinkError> {
        let Some(ours) = self.index().await? else { return Ok(Vec::new()) };
        let addresses = self.addresses().await?.into_iter();
        Ok(addresses.filter(|(index, _)| *index == ours).map(|(_, address)| address).collect())
    }

    /// Takes one step.
    pub(super) async fn take(&self, step: Step) -> Result<Made, LinkError> {
        if step == Step::MakeLink {
            return self.make_link().await;
        }
        let index = self.index().await?.ok_or_else(|| LinkError::Refused {
            step,
            reason: format!("{LINK} is gone, something else removed it"),
        })?;
        let done = match step {
            Step::MakeLink => Ok(()),
            Step::AddAddress(address) => self.add_address(index, address).await,
            Step::BringUp => {
                self.netlink.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
            }
            Step::AddRoute(address) => self.netlink.route().add(route(index, address)).execute().await,
        };
        match done {
            Ok(()) => Ok(Made::AsAsked),
            // Another `initialize` came first.
            Err(error) if errno(&error) == Some(Errno::EXIST) => Ok(Made::AsAsked),
            Err(error) => Err(refused(step, &error)),
        }
    }

    async fn make_link(&self) -> Result<Made, LinkError> {
        let made = match self.netlink.link().add(LinkDummy::new(LINK).build()).execute().await {
            // The kernel's word for a kind of link it has no driver for.
            Err(error) if errno(&error) == Some(Errno::OPNOTSUPP) => {
                let bridge = self.netlink.link().add(LinkBridge::new(LINK).build()).execute().await;
                match bridge {
                    Err(error) if errno(&error) == Some(Errno::OPNOTSUPP) => return Err(LinkError::NoDriver),
                    other => other.map(|()| Made::Bridge),
                }
            }
            other => other.map(|()| Made::AsAsked),
        };
        match made {
            Err(error) if errno(&error) == Some(Errno::EXIST) => Ok(Made::AsAsked),
            other => other.map_err(|error| refused(Step::MakeLink, &error)),
        }
    }

    async fn add_address(&self, index: u32, address: IpAddr) -> Result<(), Error> {
        let mut request = self.netlink.address().add(index, address, host_prefix(address));
        if address.is_ipv6() {
            // Nobody else is on this link, so there is nobody to ask whether the address is free.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await
    }

    async fn index(&self) -> Result<Option<u32>, LinkError> {
        let links = self.links().await?;
        Ok(links.into_iter().find(|(_, link)| name_of(link) == LINK).map(|(index, _)| index))
    }

    async fn links(&self) -> Result<HashMap<u32, LinkMessage>, LinkError> {
        let links: Vec<_> = self.netlink.link().get().execute().try_collect().await.map_err(unknown)?;
        Ok(links.into_iter().map(|link| (link.header.index, link)).collect())
    }

    async fn addresses(&self) -> Result<Vec<(u32, IpAddr)>, LinkError> {
        let messages: Vec<_> = self.netlink.address().get().execute().try_collect().await.map_err(unknown)?;
        let address = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        };
        let found = messages
            .iter()
            .filter_map(|message| Some((message.header.index, message.attributes.iter().find_map(address)?)));
        Ok(found.collect())
    }

    /// The links that a host route of the main table leads to.
    async fn host_routes(&self, address: IpAddr) -> Result<Vec<u32>, LinkError> {
        let query = match address {
            IpAddr::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            IpAddr::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let mut routes = self.netlink.route().get(query).execute().boxed();
        let mut links = Vec::new();
        loop {
            match routes.try_next().await {
                Ok(Some(route)) => links.extend(leads_to(&route, address)),
                Ok(None) => return Ok(links),
                // A kernel without IPv6 has no routes of it either.
                Err(error) if matches!(errno(&error), Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT)) => {
                    return Ok(links);
                }
                Err(error) => return Err(unknown(error)),
            }
        }
    }
}

/// The link of a host route to this address in the main table.
fn leads_to(route: &RouteMessage, address: IpAddr) -> Option<u32> {
    let wanted = match address {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    };
    let is_main = route.header.table == RouteHeader::RT_TABLE_MAIN;
    let is_host = route.header.destination_prefix_length == host_prefix(address);
    let goes_there =
        route.attributes.iter().any(|attribute| *attribute == RouteAttribute::Destination(wanted.clone()));
    let link = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    link.filter(|_| is_main && is_host && goes_there)
}

fn route(index: u32, address: IpAddr) -> RouteMessage {
    let prefix = host_prefix(address);
    match address {
        IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(ip, prefix)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(ip, prefix)
            .output_interface(index)
            .build(),
    }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn name_of(link: &LinkMessage) -> String {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_else(|| format!("number {}", link.header.index))
}

fn errno(error: &Error) -> Option<Errno> {
    match error {
        Error::NetlinkError(message) => Some(Errno::from_raw_os_error(-message.raw_code())),
        _ => None,
    }
}

/// Why the link cannot have IPv6 addresses, if it cannot: what the kernel would say to who tried (ip-sysctl, `disable_ipv6`). New
/// links begin as the default is.
pub(super) fn without_ipv6() -> Option<&'static str> {
    let conf = Path::new("/proc/sys/net/ipv6/conf");
    if !conf.exists() {
        return Some("the kernel has no IPv6");
    }
    let of = |link: &str| std::fs::read_to_string(conf.join(link).join("disable_ipv6")).ok();
    let is_off = of(LINK).or_else(|| of("default")).is_some_and(|switch| switch.trim() == "1");
    is_off.then_some(SWITCHED_OFF)
}

const SWITCHED_OFF: &str = "IPv6 is switched off on this node";

fn refused(step: Step, error: &Error) -> LinkError {
    match errno(error) {
        Some(Errno::PERM) => LinkError::NoRight { step },
        Some(errno) if errno == Errno::ACCESS || errno == Errno::OPNOTSUPP || errno == Errno::AFNOSUPPORT => {
            LinkError::Refused { step, reason: SWITCHED_OFF.to_owned() }
        }
        Some(errno) => LinkError::Refused { step, reason: std::io::Error::from(errno).to_string() },
        None => LinkError::Refused { step, reason: error.to_string() },
    }
}

fn unknown(error: Error) -> LinkError {
    LinkError::Unknown(error.to_string())
}
