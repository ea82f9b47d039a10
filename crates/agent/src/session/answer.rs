//! The bytes a pod gets, serialised once when the session begins. SDKs are particular about them: a flat object of
//! non-empty strings without escapes, and an expiration in whole seconds with `Z`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eks_auth::Exchange;
use identity::{ServiceAccountToken, to_rfc3339};
use serde::{Deserialize, Serialize};
use tracing::warn;
use zeroize::Zeroizing;

/// The CRT's SDKs give up on answers that are longer.
const LONGEST_FOR_ALL_SDKS: usize = 10_000;

/// What a pod gets.
#[derive(Clone, PartialEq)]
pub struct Answer {
    /// The body, ready to send.
    pub body: Bytes,
    /// When AWS stops to honour the credentials in it.
    pub expires: SystemTime,
    /// What they are, where answers are audited.
    pub issued: Option<Arc<Issued>>,
}

impl Answer {
    /// How long its credentials have still to live.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body is a secret.
        f.debug_struct("Answer").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What was issued to whom, as EKS Auth confirmed it. No secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The pod's namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// The pod's name, if its token tells it.
    pub pod: Option<String>,
    /// Its uid, if its token tells it.
    pub pod_uid: Option<String>,
    /// The association that named the role.
    pub association_id: String,
    /// The ARN of the role session.
    pub role_session: String,
    /// The id of the access key.
    pub access_key_id: String,
}

impl Issued {
    pub(super) fn of(exchange: &Exchange, token: &ServiceAccountToken) -> Self {
        let pod = token.claims().pod().map(|identity| identity.pod);
        Self {
            namespace: exchange.namespace.clone(),
            service_account: exchange.service_account.clone(),
            pod: pod.as_ref().map(|pod| pod.name.clone()),
            pod_uid: pod.map(|pod| pod.uid),
            association_id: exchange.association_id.clone(),
            role_session: exchange.assumed_role_user.arn.to_string(),
            access_key_id: exchange.credentials.access_key_id.clone(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    account_id: &'a str,
    expiration: &'a str,
}

/// A body that another agent serialised, in memory that is wiped when its last reader is done.
pub(super) fn handed(body: &str) -> Bytes {
    Bytes::from_owner(Zeroizing::new(body.as_bytes().to_vec()))
}

/// The body for these credentials, in memory that is wiped when its last reader is done.
pub(super) fn body(exchange: &Exchange) -> Bytes {
    let credentials = &exchange.credentials;
    let body = Body {
        access_key_id: &credentials.access_key_id,
        secret_access_key: credentials.secret_access_key.expose_str(),
        token: credentials.session_token.expose_str(),
        account_id: exchange.assumed_role_user.arn.account().as_str(),
        expiration: &to_rfc3339(credentials.expiration),
    };
    // Room for everything from the start: a vector that grows leaves unwiped copies behind.
    let length =
        [body.access_key_id, body.secret_access_key, body.token].map(str::len).iter().sum::<usize>() + 160;
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    serde_json::to_writer(&mut *json, &body).expect("strings can be written to a vector");
    if json.len() > LONGEST_FOR_ALL_SDKS {
        warn!(
            length = json.len(),
            association_id = exchange.association_id,
            "the answer is longer than 10,000 bytes, which SDKs on the AWS CRT refuse: shorten the session policy or tags"
        );
    }
    Bytes::from_owner(json)
}
