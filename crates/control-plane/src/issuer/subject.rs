//! The pod a token is made for, by names that Kubernetes would accept.

use thiserror::Error;

/// A name that no Kubernetes object can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{given}\" is no name of a {kind}: use at most {longest} lower-case letters, digits and {extra}, \
     with a letter or digit at both ends"
)]
pub struct NameError {
    kind: &'static str,
    given: String,
    longest: usize,
    extra: &'static str,
}

/// A pod by its names: what the claims of its token are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    namespace: String,
    service_account: String,
    pod: String,
    node: Option<String>,
}

impl Subject {
    /// The pod of these names.
    ///
    /// # Errors
    /// When one of them is no Kubernetes name.
    pub fn new(
        namespace: &str,
        service_account: &str,
        pod: &str,
        node: Option<&str>,
    ) -> Result<Self, NameError> {
        Ok(Self {
            namespace: namespace_name(namespace)?,
            service_account: object_name("service account", service_account)?,
            pod: object_name("pod", pod)?,
            node: node.map(|node| object_name("node", node)).transpose()?,
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// The pod.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// The node it runs on.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }
}

/// A namespace's name: a label of RFC 1123.
///
/// # Errors
/// When Kubernetes would not accept it.
pub fn namespace_name(given: &str) -> Result<String, NameError> {
    if is_label(given) {
        return Ok(given.to_owned());
    }
    Err(NameError { kind: "namespace", given: printable(given), longest: 63, extra: "hyphens" })
}

/// The name of a service account, pod or node: a subdomain of RFC 1123, labels joined by dots.
///
/// # Errors
/// When Kubernetes would not accept it. `kind` is what the text says it should have been.
pub fn object_name(kind: &'static str, given: &str) -> Result<String, NameError> {
    // Kubernetes bounds the whole at 253 and not each label.
    let is_subdomain = given.len() <= 253 && given.split('.').all(is_unbounded_label);
    if is_subdomain {
        return Ok(given.to_owned());
    }
    Err(NameError { kind, given: printable(given), longest: 253, extra: "hyphens and dots" })
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_unbounded_label(text)
}

fn is_unbounded_label(text: &str) -> bool {
    let at_the_ends =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    at_the_ends(bytes.first())
        && at_the_ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_accepts_are_accepted() {
        for (namespace, service_account, pod) in [
            ("shop", "web", "web-0"),
            ("0", "a.b", "web-5d8f9-abcde"),
            (&"n".repeat(63), "s", &"p".repeat(253)),
        ] {
            assert!(
                Subject::new(namespace, service_account, pod, Some("node-1.internal")).is_ok(),
                "{namespace}"
            );
        }
    }

    #[test]
    fn names_that_kubernetes_refuses_are_refused_with_the_rule() {
        let long = "x".repeat(254);
        for (namespace, service_account, pod, wanted) in [
            ("", "web", "web-0", "name of a namespace"),
            ("a.b", "web", "web-0", "name of a namespace"),
            ("Shop", "web", "web-0", "lower-case"),
            (&long[..64], "web", "web-0", "at most 63"),
            ("shop", "-web", "web-0", "name of a service account"),
            ("shop", "a..b", "web-0", "name of a service account"),
            ("shop", "web", "web_0", "name of a pod"),
            ("shop", "web", &long, "at most 253"),
            ("shop", "w\0eb", "web-0", "name of a service account"),
        ] {
            let error = Subject::new(namespace, service_account, pod, None).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
