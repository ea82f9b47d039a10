//! What a token says, and whether it holds: each rule by itself, so that one that fails does not hide the next.

use std::time::SystemTime;

use eks_auth::{SignatureError, SigningKeys};
use identity::{AUDIENCE, Claims, LEEWAY, TokenError, to_rfc3339};
use serde::Serialize;

use super::parse;
use crate::command::ServiceAccount;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Ok,
    Failed,
    /// Nobody here can tell.
    Unknown,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) why: String,
}

/// A token as it may be told: its claims, never its signature.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) issued: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) service_account: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) node: Option<String>,
    pub(super) checks: Vec<Check>,
    #[serde(skip)]
    pub(super) account: Option<ServiceAccount>,
}

impl Said {
    /// Whether a rule is broken.
    pub(super) fn fails(&self) -> bool {
        self.checks.iter().any(|check| check.outcome == Outcome::Failed)
    }

    pub(super) fn has_line_end(&self) -> bool {
        self.checks.iter().any(|check| check.name == LINE_END && check.outcome == Outcome::Failed)
    }
}

const LINE_END: &str = "line end";

/// Reads and checks. `issuer`: who is known to issue this cluster's tokens, and its keys.
pub(super) fn read(text: &str, now: SystemTime, issuer: Option<(&str, Option<&SigningKeys>)>) -> Said {
    let mut checks = vec![line_end(text)];
    let token = match parse(text) {
        Ok(token) => token,
        Err(error) => {
            checks.push(check("form", Err(error.to_string())));
            return Said { checks, ..Said::default() };
        }
    };
    let claims = token.claims();
    checks.push(check("form", Ok("it is a service account token".to_owned())));
    checks.push(audience(claims, now));
    checks.push(time(claims, now));
    let pod = claims.pod();
    checks.push(check(
        "pod",
        match &pod {
            Some(pod) => Ok(format!("it is bound to the pod {}", pod.pod.name)),
            None => {
                Err("it is bound to no pod (kubectl create token makes such): EKS Auth refuses it".to_owned())
            }
        },
    ));
    checks.push(issued_by(claims, issuer.map(|(url, _)| url)));
    checks.push(signature(issuer.and_then(|(_, keys)| keys).map(|keys| keys.verify(&token))));
    let account = claims.service_account().map(|(namespace, service_account)| ServiceAccount {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
    });
    Said {
        issuer: claims.issuer.clone(),
        audiences: claims.audiences.clone(),
        issued: claims.issued.map(to_rfc3339),
        expires: Some(to_rfc3339(claims.expires)),
        namespace: account.as_ref().map(|account| account.namespace.clone()),
        service_account: account.as_ref().map(|account| account.service_account.clone()),
        node: pod.as_ref().and_then(|pod| pod.node.as_ref()).map(|node| node.name.clone()),
        pod: pod.map(|pod| pod.pod.name),
        checks,
        account,
    }
}

fn check(name: &'static str, outcome: Result<String, String>) -> Check {
    match outcome {
        Ok(why) => Check { name, outcome: Outcome::Ok, why },
        Err(why) => Check { name, outcome: Outcome::Failed, why },
    }
}

fn line_end(text: &str) -> Check {
    check(
        LINE_END,
        if text.contains(['\n', '\r']) {
            Err("the file has a line end, which kubelet's have not: write it with printf %s".to_owned())
        } else {
            Ok("there is none".to_owned())
        },
    )
}

fn audience(claims: &Claims, now: SystemTime) -> Check {
    // With the right times, so that only the audience is judged.
    let mut timeless = claims.clone();
    (timeless.expires, timeless.not_before, timeless.issued) = (now + LEEWAY, None, None);
    let outcome = timeless.check(now, &[AUDIENCE.to_owned()]);
    check("audience", outcome.map(|()| format!("it is for {AUDIENCE}")).map_err(|error| error.to_string()))
}

fn time(claims: &Claims, now: SystemTime) -> Check {
    let outcome = match claims.check(now, &[AUDIENCE.to_owned()]) {
        Err(error @ (TokenError::Expired { .. } | TokenError::NotYetValid { .. })) => Err(error.to_string()),
        _ => {
            let left = claims.expires.duration_since(now).unwrap_or_default().as_secs();
            Ok(format!("it is good for {left} s more"))
        }
    };
    check("time", outcome)
}

fn issued_by(claims: &Claims, known: Option<&str>) -> Check {
    let name = "issuer";
    let Some(known) = known else {
        let why = "without a running dev nobody says which issuer the cluster has".to_owned();
        return Check { name, outcome: Outcome::Unknown, why };
    };
    let said = claims.issuer.as_deref().unwrap_or("nobody");
    check(
        name,
        if said == known {
            Ok(format!("it is {known}, as for all tokens of dev"))
        } else {
            Err(format!("it is of {said}, and dev takes only tokens of {known}"))
        },
    )
}

fn signature(verified: Option<Result<(), SignatureError>>) -> Check {
    let name = "signature";
    match verified {
        None => {
            let why = "without a running dev there are no keys to check it with".to_owned();
            Check { name, outcome: Outcome::Unknown, why }
        }
        Some(verified) => check(
            name,
            verified.map(|()| "a key of dev made it".to_owned()).map_err(|error| error.to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;
    use testkit::{SigningKey, TokenBuilder, canary};

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;
    const ISSUER: &str = "https://issuer.example";

    fn failed(text: &str, now: SystemTime, keys: Option<&SigningKeys>) -> Vec<&'static str> {
        let said = read(text, now, keys.map(|keys| (ISSUER, Some(keys))));
        canary::assert_absent("an explanation", &format!("{said:?}"));
        said.checks.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| check.name).collect()
    }

    #[test]
    fn each_rule_is_judged_by_itself() {
        let now = NOW + Duration::from_secs(100_000);
        let good = TokenBuilder::of_pod("web-0", now);
        let late = now + Duration::from_secs(7_200);
        let other = good.clone().claim("aud", json!(["sts.amazonaws.com"]));
        let unbound = good
            .clone()
            .claim("kubernetes.io", json!({ "namespace": "n", "serviceaccount": { "name": "s" } }));
        for (text, now, wanted) in [
            (good.raw(), now, vec![]),
            (good.raw() + "\n", now, vec!["line end"]),
            (good.raw(), late, vec!["time"]),
            (good.raw(), NOW, vec!["time"]),
            (other.raw(), now, vec!["audience"]),
            (other.raw(), late, vec!["audience", "time"]),
            (unbound.raw(), now, vec!["pod"]),
            ("nonsense".to_owned(), now, vec!["form"]),
            (String::new(), now, vec!["form"]),
        ] {
            assert_eq!(failed(&text, now, None), wanted);
        }
    }

    #[test]
    fn issuer_and_signature_are_judged_where_somebody_knows_them() {
        let key = SigningKey::ec("k1");
        let keys = SigningKeys::from_jwks(testkit::signing::key_set([&key]).as_bytes()).unwrap();
        let token = TokenBuilder::of_pod("web-0", NOW);
        assert_eq!(failed(&key.sign(&token), NOW, Some(&keys)), Vec::<&str>::new());
        assert_eq!(failed(&SigningKey::ec("k1").sign(&token), NOW, Some(&keys)), ["signature"]);
        assert_eq!(
            failed(&key.sign(&token.claim("iss", json!("https://other"))), NOW, Some(&keys)),
            ["issuer"]
        );
        let unknown = read(&TokenBuilder::of_pod("web-0", NOW).raw(), NOW, None).checks;
        assert_eq!(unknown.iter().filter(|check| check.outcome == Outcome::Unknown).count(), 2);
    }
}
