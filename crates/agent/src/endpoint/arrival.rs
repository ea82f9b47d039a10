//! A request as it came, for what is told of it afterwards.

use std::net::SocketAddr;
use std::time::SystemTime;

use http::{Request, StatusCode, header};
use identity::{Secret, TokenDigest, to_rfc3339};
use runtime::log::timestamp;
use tokio::time::Instant;

use super::request;
use crate::audit::{AuditLog, Record};
use crate::refusal::Refusal;
use crate::session::{Answer, Source};

/// When and from where a request came.
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    pub(super) at: Instant,
    /// What it shows as its token; kept only where answers are audited.
    token: Option<Secret>,
}

impl Arrival {
    /// A request that has just come.
    pub(super) fn of<B>(request: &Request<B>, peer: SocketAddr, is_audited: bool) -> Self {
        // Looked for only where it is wanted: this is the path of almost every request.
        let token = if is_audited { request.headers().get(header::AUTHORIZATION) } else { None };
        Self { peer, at: Instant::now(), token: token.map(|token| Secret::from(token.as_bytes())) }
    }

    /// Writes the record of its answer.
    pub(super) fn audit(
        &self,
        log: &AuditLog,
        now: SystemTime,
        status: StatusCode,
        outcome: &Result<(Answer, Source), Refusal>,
    ) {
        let record = Record {
            time: timestamp(now),
            status: status.as_u16(),
            client: self.peer.to_string(),
            token_id: self.token.as_ref().map(|token| TokenDigest::of(token.expose()).id()),
            ..Record::default()
        };
        match outcome {
            Ok((answer, source)) => {
                let issued = answer.issued.as_deref();
                log.record(&Record {
                    decision: "issued",
                    source: Some(source.as_str()),
                    identity: issued.map(|_| "confirmed"),
                    namespace: issued.map(|issued| issued.namespace.as_str()),
                    service_account: issued.map(|issued| issued.service_account.as_str()),
                    pod: issued.and_then(|issued| issued.pod.as_deref()),
                    pod_uid: issued.and_then(|issued| issued.pod_uid.as_deref()),
                    association_id: issued.map(|issued| issued.association_id.as_str()),
                    role_session: issued.map(|issued| issued.role_session.as_str()),
                    access_key_id: issued.map(|issued| issued.access_key_id.as_str()),
                    expiration: Some(to_rfc3339(answer.expires)),
                    ..record
                });
            }
            Err(refusal) => {
                let token = self.token.as_ref().and_then(|token| request::parse(token.expose()).ok());
                let claims = token.as_ref().map(identity::ServiceAccountToken::claims);
                let (account, pod) = (
                    claims.and_then(|claims| claims.service_account()),
                    claims.and_then(|claims| claims.pod()),
                );
                log.record(&Record {
                    decision: "refused",
                    reason: Some(refusal.code()),
                    identity: account.map(|_| "claimed"),
                    namespace: account.map(|(namespace, _)| namespace),
                    service_account: account.map(|(_, service_account)| service_account),
                    pod: pod.as_ref().map(|identity| identity.pod.name.as_str()),
                    pod_uid: pod.as_ref().map(|identity| identity.pod.uid.as_str()),
                    ..record
                });
            }
        }
    }
}
