//! What a person reads when the system has started: what runs, and the next command.

use super::{Folder, System};
use crate::terminal;

/// A few lines for a terminal.
pub(crate) async fn greeting(system: &System, folder: &Folder, ephemeral: bool) -> String {
    let (status, program) = (system.status(), terminal::program());
    let data =
        if folder.is_default() { String::new() } else { format!(" --data {}", folder.path().display()) };
    let kept = if ephemeral { "in memory".to_owned() } else { format!("in {}", folder.path().display()) };
    let (namespace, service_account) = match system.associated().first() {
        Some(reply) => (reply.association.namespace.as_str(), reply.association.service_account.as_str()),
        None => ("shop", "web"),
    };
    let account = format!("--namespace {namespace} --service-account {service_account}");
    let mut lines = vec![
        format!("cluster {} in {} is running, its state is {kept}", status.cluster, status.region),
        format!("  credentials  {}", status.credentials_uri),
        format!("  EKS Auth     {}  (EKS too; {program} dev keys{data} signs calls to both)", status.api),
        format!("  metrics      http://{}/metrics", system.metrics()),
    ];
    lines.extend(system.associated().iter().map(|reply| format!("  association  {reply}")));
    if !system.has_associations().await {
        let role = format!("arn:aws:iam::{}:role/{service_account}", status.account);
        lines.push(format!("give a role:  {program} dev associate{data} {account} --role-arn {role}"));
    }
    lines.push(format!("be that pod:  {program} dev run{data} {account} -- COMMAND"));
    lines.push(format!(
        "or ask:       curl -H \"Authorization: $({program} dev token{data} {account})\" {}",
        status.credentials_uri
    ));
    lines.push(String::new());
    lines.join("\n")
}
