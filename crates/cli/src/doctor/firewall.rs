//! What stands in front of the agent's address: rules of iptables and nftables that certainly send a pod's packet elsewhere, or
//! drop it. Rules that may or may not match a pod's packet accuse nobody.

mod iptables;
mod nft;
mod walk;

use std::net::IpAddr;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::cause::Cause;
use super::finding::Finding;
pub(super) use walk::is_within;
use walk::{Fate, Packet, Ruleset};

/// A node with thousands of services has megabytes of rules.
const PATIENCE: Duration = Duration::from_secs(4);

/// Who tells of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Iptables,
    Nft,
}

/// Looks at the rules for each of these addresses.
pub(super) async fn look(addresses: &[(IpAddr, u16)]) -> Vec<Finding> {
    let run = async |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        // Administrators' programs are not on every user's path.
        let path = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin";
        let command = command.args(arguments).env("PATH", path).kill_on_drop(true).output();
        let output = timeout(PATIENCE, command).await.ok()?.ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (v4, v6, nft) = tokio::join!(
        run("iptables-save", &[]),
        run("ip6tables-save", &[]),
        run("nft", &["-j", "list", "ruleset"])
    );
    judge(v4.as_deref(), v6.as_deref(), nft.as_deref(), addresses)
}

/// `None` where a tool is not there, or does not tell.
fn judge(v4: Option<&str>, v6: Option<&str>, nft: Option<&str>, addresses: &[(IpAddr, u16)]) -> Vec<Finding> {
    if v4.is_none() && nft.is_none() {
        let what = "neither iptables-save nor nft tells the node's rules: they are not installed, or this user may not ask";
        let remedy = "run as root, on a node with one of them (packages iptables, nftables)";
        return vec![Finding::note(Cause::FirewallUnknown, what, remedy)];
    }
    let mut findings = Vec::new();
    for (address, port) in addresses {
        let packet = Packet { to: *address, port: *port };
        let save = if address.is_ipv4() { v4 } else { v6 };
        let rulesets: [Option<(Tool, Ruleset)>; 2] = [
            save.map(|text| (Tool::Iptables, iptables::read(text, packet))),
            nft.and_then(|text| Some((Tool::Nft, nft::read(text, packet)?))),
        ];
        // iptables on nftables shows its rules in both; the first finding says it all.
        let found =
            rulesets.into_iter().flatten().find_map(|(tool, rules)| finding(&rules.fate(), tool, packet));
        findings.extend(found);
    }
    if findings.is_empty() {
        let what = "no rule certainly redirects or drops what pods send to the agent";
        findings.push(Finding::ok(Cause::Firewall, what));
    }
    findings
}

fn finding(fate: &Fate, tool: Tool, packet: Packet) -> Option<Finding> {
    let Packet { to, port } = packet;
    let (program, family, host) = match to {
        IpAddr::V4(_) => ("iptables", "ip", format!("{to}/32")),
        IpAddr::V6(_) => ("ip6tables", "ip6", format!("{to}/128")),
    };
    Some(match fate {
        Fate::Arrives => return None,
        Fate::Redirected { target, rule, chain } => {
            let exception = match tool {
                Tool::Iptables => {
                    format!("{program} -t nat -I PREROUTING -d {host} -p tcp --dport {port} -j RETURN")
                }
                Tool::Nft => {
                    format!("nft insert rule {} {family} daddr {to} tcp dport {port} accept", chain)
                }
            };
            Finding::error(
                Cause::TrafficRedirected,
                format!(
                    "what pods send to {to} port {port} goes to {target} instead, by a rule in {chain}: {rule}"
                ),
                format!(
                    "remove hostPort: {port} from the pod it leads to, or leave the agent's address out: where portmap made the rule, \
                     with\n  \"conditionsV4\": [\"!\", \"-d\", \"169.254.170.23/32\"] in its part of the CNI configuration;\n\
                     until then: {exception}"
                ),
            )
        }
        Fate::Dropped { how, rule, chain } => {
            let exception = match tool {
                Tool::Iptables => {
                    format!("{program} -I INPUT -d {host} -p tcp --dport {port} -j ACCEPT")
                }
                Tool::Nft => {
                    format!("nft insert rule {} {family} daddr {to} tcp dport {port} accept", chain)
                }
            };
            Finding::error(
                Cause::TrafficDropped,
                format!("what pods send to {to} port {port} is {how}, in {chain}: {rule}"),
                format!(
                    "{exception}\nand put that into whatever hardens the node, or it is gone after the next boot"
                ),
            )
        }
    })
}

#[cfg(test)]
mod tests;
