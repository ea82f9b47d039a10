//! Which proxy a process's HTTP clients would take, and for whom.

use std::net::IpAddr;

use runtime::Environment;

/// The first of the variables that is set, in either case.
pub(super) fn variable(environment: &impl Environment, name: &'static str) -> Option<(String, String)> {
    let lower = name.to_lowercase();
    let found = |name: &str| Some((name.to_owned(), environment.get(name)?));
    found(name).or_else(|| found(&lower))
}

/// Whether a `NO_PROXY` list takes this host out: a name with its sub-domains, an address, a network, or `*`.
pub(super) fn is_excepted(list: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    list.split(',').map(str::trim).filter(|rule| !rule.is_empty()).any(|rule| {
        if rule == "*" {
            return true;
        }
        let rule = rule.trim_matches(['[', ']']);
        match address {
            Some(address) => super::firewall::is_within(address, rule).unwrap_or(false),
            None => {
                let name = rule.trim_start_matches('.');
                host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        for (list, host, wanted) in [
            ("169.254.170.23,fd00:ec2::23", "169.254.170.23", true),
            ("localhost, 169.254.0.0/16", "169.254.170.23", true),
            ("[fd00:ec2::23]", "[fd00:ec2::23]", true),
            ("169.254.169.254", "169.254.170.23", false),
            ("amazonaws.com", "169.254.170.23", false),
            (".amazonaws.com", "eks-auth.us-west-2.amazonaws.com", true),
            ("amazonaws.com", "notamazonaws.com", false),
            ("*", "anything", true),
            ("", "169.254.170.23", false),
        ] {
            assert_eq!(is_excepted(list, host), wanted, "{list} {host}");
        }
    }
}
