//! The variables by which AWS's SDKs choose whose credentials they take. Values are never told: they may be secret.

use std::net::SocketAddr;

use runtime::Environment;

use crate::dial::{address_of, host_and_port};
use crate::doctor::cause::Cause;
use crate::doctor::finding::Finding;
use crate::doctor::proxy;
use crate::proc::Variables;

/// Where the agent is.
pub(super) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// What to send there.
pub(super) const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

/// Where EKS's webhook sends SDKs.
const AWSS: [&str; 2] = ["http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials"];

/// What is wrong with them. `agents`: where the agent is.
pub(super) fn judge(variables: &Variables, agents: &[SocketAddr]) -> Vec<Finding> {
    let is_set = |name: &str| variables.get(name).is_some();
    let mut findings = Vec::new();
    if is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY") {
        findings.push(Finding::error(
            Cause::PodStaticKeys,
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set: the SDK takes these keys",
            remove("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"),
        ));
    }
    if let Some(name) = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].into_iter().find(|name| is_set(name)) {
        findings.push(Finding::warning(
            Cause::PodProfile,
            format!("{name} is set: the SDK looks for that profile in the shared files first"),
            remove(name),
        ));
    }
    if is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && is_set("AWS_ROLE_ARN") {
        findings.push(Finding::error(
            Cause::PodWebIdentity,
            "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are set: the SDK assumes that role (IRSA) and not the association's",
            "kubectl annotate serviceaccount NAME eks.amazonaws.com/role-arn-   # then restart the pod",
        ));
    }
    findings.extend(uri(variables, agents));
    findings.extend(proxied(variables));
    findings
}

fn remove(what: &str) -> String {
    format!("take {what} out of the pod (env, envFrom, the image), and restart it")
}

fn uri(variables: &Variables, agents: &[SocketAddr]) -> Vec<Finding> {
    let restart = "restart the pod: EKS's webhook gives the variables to pods that start after their association was made";
    let mut findings = Vec::new();
    if variables.get(RELATIVE_URI).is_some() {
        findings.push(Finding::error(
            Cause::PodRelativeUri,
            format!("{RELATIVE_URI} is set, as on ECS: it wins over {FULL_URI}"),
            remove(RELATIVE_URI),
        ));
    }
    let Some(url) = variables.get(FULL_URI) else {
        let what = format!("{FULL_URI} is not set");
        findings.push(Finding::error(Cause::PodNotMutated, what, restart));
        return findings;
    };
    let known = address_of(&url).is_some_and(|address| agents.contains(&address));
    let is_path = url.ends_with("/v1/credentials");
    let is_right = AWSS.contains(&url.as_str()) || known && is_path;
    if !is_right {
        findings.push(Finding::error(
            Cause::PodWrongUri,
            format!("{FULL_URI} does not lead to the agent"),
            format!("set it to {} or leave it to EKS's webhook, and restart the pod", AWSS[0]),
        ));
    }
    if variables.get(TOKEN_FILE).is_none() {
        findings.push(Finding::error(Cause::PodTokenVariable, format!("{TOKEN_FILE} is not set"), restart));
    }
    findings
}

/// Go's SDKs, among others, honour the proxy for the agent's address too.
fn proxied(variables: &Variables) -> Option<Finding> {
    let host = variables.get(FULL_URI).and_then(|url| host_and_port(&url)).map(|(host, _)| host)?;
    let (name, _) =
        proxy::variable(variables, "HTTP_PROXY").or_else(|| proxy::variable(variables, "ALL_PROXY"))?;
    let exceptions = proxy::variable(variables, "NO_PROXY").map(|(_, list)| list).unwrap_or_default();
    if proxy::is_excepted(&exceptions, &host) {
        return None;
    }
    Some(Finding::warning(
        Cause::PodProxy,
        format!("{name} is set, and NO_PROXY does not leave {host} out"),
        "add 169.254.170.23,fd00:ec2::23 to the pod's NO_PROXY and no_proxy",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 2] = [(FULL_URI, AWSS[0]), (TOKEN_FILE, "/var/run/secrets/x/token")];

    fn causes(more: &[(&str, &str)], without: &[&str]) -> Vec<Cause> {
        let pairs = GOOD.iter().filter(|(name, _)| !without.contains(name)).chain(more);
        let variables =
            Variables(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let agents = ["127.0.0.1:17023".parse().unwrap()];
        judge(&variables, &agents).into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn what_eks_sets_is_in_order() {
        assert_eq!(causes(&[], &[]), []);
        assert_eq!(causes(&[(FULL_URI, AWSS[1])], &[FULL_URI]), []);
        assert_eq!(causes(&[(FULL_URI, "http://127.0.0.1:17023/v1/credentials")], &[FULL_URI]), []);
    }

    #[test]
    fn whatever_an_sdk_would_take_before_is_named() {
        for (more, wanted) in [
            (vec![("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s")], vec![Cause::PodStaticKeys]),
            // Half a pair is no pair, to the SDKs too.
            (vec![("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "")], vec![]),
            (vec![("AWS_PROFILE", "work")], vec![Cause::PodProfile]),
            (
                vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn")],
                vec![Cause::PodWebIdentity],
            ),
            (vec![("AWS_ROLE_ARN", "arn")], vec![]),
            (vec![(RELATIVE_URI, "/v2")], vec![Cause::PodRelativeUri]),
            (vec![("HTTP_PROXY", "http://p:3128")], vec![Cause::PodProxy]),
            (vec![("http_proxy", "http://p:3128"), ("no_proxy", "169.254.0.0/16")], vec![]),
            (vec![("HTTPS_PROXY", "http://p:3128")], vec![]),
        ] {
            assert_eq!(causes(&more, &[]), wanted, "{more:?}");
        }
    }

    #[test]
    fn what_is_missing_or_leads_elsewhere_is_named() {
        assert_eq!(causes(&[], &[FULL_URI, TOKEN_FILE]), [Cause::PodNotMutated]);
        assert_eq!(causes(&[], &[TOKEN_FILE]), [Cause::PodTokenVariable]);
        for url in [
            "http://169.254.170.2/v2",
            "http://169.254.170.23/",
            "http://127.0.0.1:17023/",
            "http://localhost/v1/credentials",
        ] {
            assert_eq!(causes(&[(FULL_URI, url)], &[FULL_URI]), [Cause::PodWrongUri], "{url}");
        }
    }
}
