//! The node's link for the agent's addresses: a dummy device that has them, and host routes to it. Made by `initialize`,
//! as AWS's agent makes it, before the agent itself starts and with another right (`NET_ADMIN`).
//!
//! First it is looked at what is there; from that follow the steps that are missing. Run again, there are none.

mod kernel;
mod plan;

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::settings::{AWS_IPV4, AWS_IPV6};
use kernel::Kernel;
use plan::Wanted;
pub use plan::{Conflict, Step};

/// The name AWS's agent gives the link. Others know it: CNI plug-ins leave it alone by this name.
pub const LINK: &str = "pod-id-link0";

/// The link could not be made, or not all of it.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The process may not change the network.
    #[error(
        "this process may not change the node's network ({step}): give the container the capability NET_ADMIN \
         and the node's own network (hostNetwork)"
    )]
    NoRight {
        /// What was to be done.
        step: Step,
    },
    /// The kernel makes no link that would do.
    #[error(
        "the kernel makes neither a dummy link nor a bridge: load the module dummy (modprobe dummy) on the node"
    )]
    NoDriver,
    /// Something of the node's is in the way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The kernel refused a step for another reason.
    #[error("{step} failed: {reason}")]
    Refused {
        /// What was to be done.
        step: Step,
        /// What the kernel says.
        reason: String,
    },
    /// The kernel cannot be asked.
    #[error("the kernel does not tell of its links, addresses and routes: {0}")]
    Unknown(String),
}

/// What was found, done, or left undone.
#[derive(Debug, Default)]
pub struct Report {
    /// The steps that were missing; done by now, unless it was only a check.
    pub steps: Vec<Step>,
    /// What is odd, or missing without harm.
    pub remarks: Vec<Remark>,
}

/// Something an operator should know, though the agent can work.
#[derive(Debug, PartialEq)]
pub enum Remark {
    /// The kernel has no dummy driver.
    Bridge,
    /// An address that is used where the node has it could not be had.
    Without(IpAddr, String),
    /// The link has an address that is not ours.
    ForeignAddress(IpAddr),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str(
                "the kernel has no dummy driver: made a bridge without ports, which serves as well",
            ),
            Self::Without(address, reason) => {
                write!(f, "going on without {address}: {reason}; pods reach the agent over IPv4")
            }
            Self::ForeignAddress(address) => {
                write!(
                    f,
                    "{LINK} has the address {address} too, which is not the agent's: remove it if nobody needs it"
                )
            }
        }
    }
}

/// Makes the link with its addresses and routes, as far as it is not there.
///
/// # Errors
/// See [`LinkError`]; what was done until then stays, and a second run goes on from there.
pub async fn initialize() -> Result<Report, LinkError> {
    let kernel = Kernel::connect()?;
    let mut report = Report::default();
    for wanted in wanted() {
        if let Err(error) = provide(&kernel, wanted, &mut report).await {
            give_up(wanted, error, &mut report)?;
        }
    }
    report.remarks.extend(foreign_addresses(&kernel).await?);
    Ok(report)
}

/// Tells what [`initialize`] would do, and does nothing.
///
/// # Errors
/// As [`initialize`], for what can be known beforehand.
pub async fn check() -> Result<Report, LinkError> {
    let kernel = Kernel::connect()?;
    let mut report = Report::default();
    for wanted in wanted() {
        if let Some(reason) = kernel::without_ipv6().filter(|_| wanted.address.is_ipv6()) {
            report.remarks.push(Remark::Without(wanted.address, reason.to_owned()));
            continue;
        }
        match plan::missing(&kernel.look(wanted.address).await?, wanted.address) {
            Ok(steps) => {
                let new = steps.into_iter().filter(|step| !report.steps.contains(step));
                report.steps.extend(new.collect::<Vec<_>>());
            }
            Err(conflict) => give_up(wanted, conflict.into(), &mut report)?,
        }
    }
    report.remarks.extend(foreign_addresses(&kernel).await?);
    Ok(report)
}

fn wanted() -> [Wanted; 2] {
    [
        Wanted { address: AWS_IPV4.into(), required: true },
        Wanted { address: AWS_IPV6.into(), required: false },
    ]
}

/// An address that is not required may be missing; being allowed nothing at all is another matter.
fn give_up(wanted: Wanted, error: LinkError, report: &mut Report) -> Result<(), LinkError> {
    match error {
        error if wanted.required => Err(error),
        error @ (LinkError::NoDriver | LinkError::Unknown(_)) => Err(error),
        error => {
            report.remarks.push(Remark::Without(wanted.address, error.to_string()));
            Ok(())
        }
    }
}

async fn provide(kernel: &Kernel, wanted: Wanted, report: &mut Report) -> Result<(), LinkError> {
    for step in plan::missing(&kernel.look(wanted.address).await?, wanted.address)? {
        if kernel.take(step).await? == kernel::Made::Bridge {
            report.remarks.push(Remark::Bridge);
        }
        report.steps.push(step);
    }
    Ok(())
}

async fn foreign_addresses(kernel: &Kernel) -> Result<Vec<Remark>, LinkError> {
    let all = kernel.addresses_of_link().await?;
    let ours = wanted().map(|wanted| wanted.address);
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let foreign = all.into_iter().filter(|address| !ours.contains(address) && !is_link_local(address));
    Ok(foreign.map(Remark::ForeignAddress).collect())
}
