//! What a Kubernetes service account token claims, and the rules for its times and audience.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::TokenError;
use crate::from_epoch_seconds;

/// The audience of the tokens that EKS's webhook projects into pods.
pub const AUDIENCE: &str = "pods.eks.amazonaws.com";

/// How far a clock may be behind the one that wrote `nbf` and `iat`. `exp` has no leeway: EKS Auth gives it none.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The claims of a service account token, of those we read. Unverified until a signature says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Claims {
    /// `iss`: who says all this.
    #[serde(rename = "iss", default)]
    pub issuer: Option<String>,
    /// `aud`: whom the token is meant for.
    #[serde(rename = "aud", default, deserialize_with = "one_or_many")]
    pub audiences: Vec<String>,
    /// `exp`: the first moment the token is worth nothing.
    #[serde(rename = "exp", deserialize_with = "numeric_date")]
    pub expires: SystemTime,
    /// `nbf`: the first moment it is worth something.
    #[serde(rename = "nbf", default, deserialize_with = "optional_numeric_date")]
    pub not_before: Option<SystemTime>,
    /// `iat`: when it was made.
    #[serde(rename = "iat", default, deserialize_with = "optional_numeric_date")]
    pub issued: Option<SystemTime>,
    /// `jti`: the token's own id (Kubernetes 1.30 and later).
    #[serde(rename = "jti", default)]
    pub token_id: Option<String>,
    /// `kubernetes.io`: the objects the token is bound to.
    #[serde(rename = "kubernetes.io", default)]
    bound: Option<Bound>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: ObjectReference,
    #[serde(default)]
    pod: Option<ObjectReference>,
    #[serde(default)]
    node: Option<ObjectReference>,
}

/// A Kubernetes object by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectReference {
    /// The object's name.
    pub name: String,
    /// The object's uid; empty where the token names none.
    #[serde(default)]
    pub uid: String,
}

/// The pod that a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodIdentity {
    /// The namespace of pod and service account.
    pub namespace: String,
    /// The service account.
    pub service_account: ObjectReference,
    /// The pod; its uid is never empty.
    pub pod: ObjectReference,
    /// The node it runs on, where the API server says so (Kubernetes 1.30 and later).
    pub node: Option<ObjectReference>,
}

impl Claims {
    /// The pod this token is bound to; `None` for a token that is not bound to one (`kubectl create token` makes such).
    pub fn pod(&self) -> Option<PodIdentity> {
        let Bound { namespace, serviceaccount, pod, node } = self.bound.clone()?;
        let pod = pod.filter(|pod| !pod.name.is_empty() && !pod.uid.is_empty())?;
        Some(PodIdentity { namespace, service_account: serviceaccount, pod, node })
    }

    /// The uid of the pod this token is bound to, if it is bound to one.
    pub fn pod_uid(&self) -> Option<&str> {
        let pod = self.bound.as_ref()?.pod.as_ref()?;
        Some(pod.uid.as_str()).filter(|uid| !uid.is_empty())
    }

    /// Namespace and service account, where the token names them; for logs.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.bound.as_ref().map(|bound| (bound.namespace.as_str(), bound.serviceaccount.name.as_str()))
    }

    /// Whether the token's time has come and is not over, and whether it is meant for one of `audiences`.
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`] or [`TokenError::WrongAudience`].
    pub fn check(&self, now: SystemTime, audiences: &[String]) -> Result<(), TokenError> {
        if now >= self.expires {
            return Err(TokenError::Expired { at: self.expires, now });
        }
        if let Some(from) = self.not_before.max(self.issued).filter(|from| *from > now + LEEWAY) {
            return Err(TokenError::NotYetValid { from, now });
        }
        if !self.audiences.iter().any(|audience| audiences.contains(audience)) {
            let shown = |texts: &[String]| {
                texts
                    .join(", ")
                    .chars()
                    .filter(|character| !character.is_control())
                    .take(120)
                    .collect::<String>()
            };
            let found = if self.audiences.is_empty() { "none".to_owned() } else { shown(&self.audiences) };
            return Err(TokenError::WrongAudience { found, wanted: shown(audiences) });
        }
        Ok(())
    }
}

/// RFC 7519: `aud` is a string or an array of strings.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    })
}

/// RFC 7519: a NumericDate is a JSON number of epoch seconds, fractions allowed.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    from_epoch_seconds(f64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("not a date"))
}

fn optional_numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    numeric_date(deserializer).map(Some)
}
