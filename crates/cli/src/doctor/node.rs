//! The node's link, addresses and routes, as `initialize` of the agent looks at them.

use std::net::IpAddr;

use agent::link::{self, Conflict, LINK, LinkError, Remark, Step};
use agent::settings::{AWS_IPV4, AWS_IPV6, BindHost};

use super::cause::Cause;
use super::finding::Finding;

/// Makes all that is missing, and only that.
const INITIALIZE: &str = "eks-pod-identity-agent initialize";

/// Looks at the node's network, as far as the agent is to listen on AWS's addresses.
pub(super) async fn look(hosts: &[BindHost]) -> Vec<Finding> {
    if !hosts.iter().any(|host| is_awss(host.address)) {
        let what = "the agent listens on none of AWS's addresses, so it needs no link";
        return vec![Finding::ok(Cause::Link, what)];
    }
    judge(link::check().await, hosts)
}

/// One of the two addresses that the link is made for.
pub(super) fn is_awss(address: IpAddr) -> bool {
    address == AWS_IPV4 || address == AWS_IPV6
}

fn judge(checked: Result<link::Report, LinkError>, hosts: &[BindHost]) -> Vec<Finding> {
    let report = match checked {
        Ok(report) => report,
        Err(LinkError::Conflict(conflict)) => return vec![conflicting(&conflict)],
        Err(error) => {
            let what = format!("the node's links cannot be looked at: {error}");
            return vec![Finding::warning(Cause::LinkUnknown, what, "run this command on the node itself")];
        }
    };
    let is_listened_on = |address: &IpAddr| hosts.iter().any(|host| host.address == *address);
    let is_required = |address: IpAddr| hosts.iter().any(|host| host.address == address && host.required);
    let mut findings: Vec<Finding> = report
        .steps
        .iter()
        .filter(|step| concerns(step).is_none_or(|address| is_listened_on(&address)))
        .map(|step| missing(*step, concerns(step).is_none_or(is_required)))
        .collect();
    findings
        .extend(report.remarks.iter().filter_map(|remark| remarkable(remark, &is_required, &is_listened_on)));
    if findings.is_empty() {
        findings.push(Finding::ok(Cause::Link, format!("{LINK} has the agent's addresses and their routes")));
    }
    findings
}

fn concerns(step: &Step) -> Option<IpAddr> {
    match step {
        Step::AddAddress(address) | Step::AddRoute(address) => Some(*address),
        Step::MakeLink | Step::BringUp => None,
    }
}

fn missing(step: Step, required: bool) -> Finding {
    let (cause, what) = match step {
        Step::MakeLink => (Cause::LinkMissing, format!("the link {LINK} is not there")),
        Step::BringUp => (Cause::LinkDown, format!("the link {LINK} is down")),
        Step::AddAddress(address) => {
            (Cause::AddressMissing, format!("{LINK} does not have the address {address}"))
        }
        Step::AddRoute(address) => {
            (Cause::RouteMissing, format!("the main table has no host route for {address} to {LINK}"))
        }
    };
    if required {
        return Finding::error(cause, what, INITIALIZE);
    }
    Finding::note(cause, format!("{what}; pods reach the agent over IPv4"), INITIALIZE)
}

fn conflicting(conflict: &Conflict) -> Finding {
    let what =
        |verb: &str, address: &IpAddr, link: &str| format!("{address} is {verb} the link {link}, not {LINK}");
    match conflict {
        Conflict::Address { address, link } => Finding::error(
            Cause::AddressElsewhere,
            what("on", address, link),
            format!("ip address del {address} dev {link}\n{INITIALIZE}"),
        ),
        Conflict::Route { address, link } => Finding::error(
            Cause::RouteElsewhere,
            what("routed to", address, link),
            format!("ip route del {address} dev {link}   # and find out which program made it\n{INITIALIZE}"),
        ),
    }
}

fn remarkable(
    remark: &Remark,
    is_required: &impl Fn(IpAddr) -> bool,
    is_listened_on: &impl Fn(&IpAddr) -> bool,
) -> Option<Finding> {
    match remark {
        // A bridge serves as well.
        Remark::Bridge => None,
        Remark::Without(address, _) if !is_listened_on(address) => None,
        Remark::Without(address, reason) if is_required(*address) => Some(Finding::error(
            Cause::Ipv6Off,
            format!("{reason}, and the agent is told to listen on {address}"),
            format!(
                "switch IPv6 on (sysctl -w net.ipv6.conf.all.disable_ipv6=0) and run {INITIALIZE},\n\
                 or take {address} out of --bind-hosts"
            ),
        )),
        Remark::Without(address, reason) => {
            Some(Finding::note(Cause::Ipv6Off, format!("the agent does without {address}: {reason}"), ""))
        }
        Remark::ForeignAddress(address) => Some(Finding::note(
            Cause::LinkForeignAddress,
            format!("{LINK} has the address {address} too, which is not the agent's"),
            format!("ip address del {address} dev {LINK}   # if nobody needs it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Severity, prune};

    const V4: IpAddr = IpAddr::V4(AWS_IPV4);
    const V6: IpAddr = IpAddr::V6(AWS_IPV6);

    fn hosts(ipv6_required: Option<bool>) -> Vec<BindHost> {
        let ipv6 = ipv6_required.map(|required| BindHost { address: V6, required });
        [BindHost { address: V4, required: true }].into_iter().chain(ipv6).collect()
    }

    fn found(steps: &[Step], remarks: Vec<Remark>, ipv6_required: Option<bool>) -> Vec<(Cause, Severity)> {
        let report = link::Report { steps: steps.to_vec(), remarks };
        let findings = prune(judge(Ok(report), &hosts(ipv6_required)));
        findings.into_iter().map(|finding| (finding.cause, finding.severity)).collect()
    }

    #[test]
    fn the_first_thing_that_is_missing_is_named_and_not_what_follows_from_it() {
        use Step::{AddAddress, AddRoute, BringUp, MakeLink};
        for (steps, wanted) in [
            (vec![], Cause::Link),
            (vec![MakeLink, AddAddress(V4), BringUp, AddRoute(V4)], Cause::LinkMissing),
            (vec![BringUp, AddRoute(V4)], Cause::LinkDown),
            (vec![AddAddress(V4)], Cause::AddressMissing),
            (vec![AddRoute(V4)], Cause::RouteMissing),
        ] {
            let causes: Vec<_> = found(&steps, vec![], None).into_iter().map(|(cause, _)| cause).collect();
            assert_eq!(causes, [wanted], "{steps:?}");
        }
    }

    #[test]
    fn ipv6_is_missed_only_where_the_agent_is_told_to_have_it() {
        let off = || vec![Remark::Without(V6, "IPv6 is switched off on this node".to_owned())];
        assert_eq!(found(&[], off(), Some(true)), [(Cause::Ipv6Off, Severity::Error)]);
        assert_eq!(found(&[], off(), Some(false)), [(Cause::Ipv6Off, Severity::Note)]);
        assert_eq!(found(&[], off(), None), [(Cause::Link, Severity::Ok)]);
        let steps = [Step::AddAddress(V6), Step::AddRoute(V6)];
        assert!(found(&steps, vec![], Some(false)).iter().all(|(_, severity)| *severity == Severity::Note));
        assert_eq!(found(&steps, vec![], None), [(Cause::Link, Severity::Ok)]);
    }

    #[test]
    fn a_conflict_names_the_link_and_the_command() {
        let conflict = Conflict::Address { address: V4, link: "eth0".to_owned() };
        let findings = judge(Err(conflict.into()), &hosts(None));
        assert_eq!(findings[0].cause, Cause::AddressElsewhere);
        assert!(findings[0].remedy.starts_with("ip address del 169.254.170.23 dev eth0\n"), "{findings:?}");
    }
}
