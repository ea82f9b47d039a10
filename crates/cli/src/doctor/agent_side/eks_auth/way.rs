//! How a call gets to EKS Auth, looked at step by step when it did not arrive: proxy, name, connection.

use std::net::IpAddr;
use std::time::Duration;

use runtime::Environment;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dial;
use crate::doctor::cause::Cause;
use crate::doctor::finding::Finding;
use crate::doctor::proxy;

/// Each step.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen of the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// The proxy that the call takes, without its password.
    pub(super) proxy: Option<Stop>,
    /// The host of EKS Auth. Behind a proxy it is the proxy's to find.
    pub(super) host: Option<Stop>,
}

/// One host on the way.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) name: String,
    /// Its addresses, or why it has none.
    pub(super) addresses: Result<Vec<IpAddr>, String>,
    /// How connecting to it ended, where it has an address.
    pub(super) connected: Result<(), String>,
}

/// Looks at the way to this URL.
pub(super) async fn look(url: Option<&str>, environment: &impl Environment) -> Way {
    let Some((url, (host, port))) = url.and_then(|url| Some((url, dial::host_and_port(url)?))) else {
        return Way::default();
    };
    let through = proxy::variable(environment, "HTTPS_PROXY").filter(|_| url.starts_with("https://"));
    let exceptions = proxy::variable(environment, "NO_PROXY").map(|(_, list)| list).unwrap_or_default();
    // As the agent's transport has it: what is local never goes through a proxy.
    let local = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";
    let is_direct = proxy::is_excepted(&format!("{exceptions},{local}"), &host);
    match through.filter(|_| !is_direct).and_then(|(_, url)| dial::host_and_port(&url)) {
        Some((host, port)) => Way { proxy: Some(stop(host, port).await), host: None },
        None => Way { proxy: None, host: Some(stop(host, port).await) },
    }
}

async fn stop(host: String, port: u16) -> Stop {
    let name = format!("{host}:{port}");
    let found = match timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect::<Vec<_>>()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no name server answers in time".to_owned()),
    };
    let mut connected = Ok(());
    if let Ok(addresses) = &found {
        connected = match timeout(PATIENCE, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
    }
    let addresses = found.map(|addresses| addresses.iter().map(|address| address.ip()).collect());
    Stop { name, addresses, connected }
}

impl Way {
    /// What is worth knowing of a way that works.
    pub(super) fn remark(&self) -> String {
        if let Some(proxy) = &self.proxy {
            return format!(", through the proxy {}", proxy.name);
        }
        let addresses = self.host.as_ref().and_then(|host| host.addresses.as_ref().ok());
        let is_private = |address: &IpAddr| match address {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        };
        match addresses.map(Vec::as_slice) {
            Some([first, ..]) if addresses.is_some_and(|all| all.iter().all(is_private)) => {
                format!(", whose name leads to the private address {first} (an interface endpoint)")
            }
            _ => String::new(),
        }
    }

    /// Which step a call failed at that did not arrive; `reason` is the client's.
    pub(super) fn blame(&self, endpoint: &str, reason: &str) -> Finding {
        if let Some(proxy) = &self.proxy {
            let why = match (&proxy.addresses, &proxy.connected) {
                (Err(error), _) => format!("its name leads nowhere: {error}"),
                (_, Err(error)) => format!("it cannot be reached: {error}"),
                _ => format!("it is there, and the call did not get through: {reason}"),
            };
            let what = format!("the proxy {} does not bring the agent to {endpoint}: {why}", proxy.name);
            let remedy = "mend the proxy or the agent's HTTPS_PROXY, or put EKS Auth's host into its NO_PROXY if it can be reached directly";
            return Finding::error(Cause::EksAuthProxy, what, remedy);
        }
        if is_about_tls(reason) {
            return Finding::error(
                Cause::EksAuthTls,
                format!("TLS with {endpoint} fails: {reason}"),
                "name the authority of whoever is in between in the agent's AWS_CA_BUNDLE (all others too: it replaces the system's), \
                 or let the call past it;\nwho it is: openssl s_client -connect HOST:443",
            );
        }
        let Some(host) = &self.host else {
            return Finding::error(
                Cause::EksAuthUnreachable,
                format!("{endpoint} is not reached: {reason}"),
                ROUTE,
            );
        };
        match (&host.addresses, &host.connected) {
            (Err(error), _) => Finding::error(
                Cause::EksAuthDns,
                format!("the name of {endpoint} leads nowhere: {error}"),
                "see the node's name servers (/etc/resolv.conf) and the agent's AWS_REGION; in a VPC without a way out: an interface endpoint \
                 for com.amazonaws.REGION.eks-auth with private DNS, or --endpoint",
            ),
            (_, Err(error)) => Finding::error(
                Cause::EksAuthUnreachable,
                format!("{} of {endpoint} takes no connection: {error}", host.name),
                ROUTE,
            ),
            _ => Finding::error(
                Cause::EksAuthUnreachable,
                format!("{endpoint} takes connections, and the call is not answered: {reason}"),
                ROUTE,
            ),
        }
    }
}

const ROUTE: &str = "give the node a way there: a NAT gateway, a proxy (HTTPS_PROXY), or an interface endpoint for com.amazonaws.REGION.eks-auth \
                     whose security group lets the node in on 443";

/// rustls's words for a certificate or a handshake that failed.
fn is_about_tls(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["certificate", "tls", "handshake", "corrupt message"].iter().any(|word| reason.contains(word))
}
