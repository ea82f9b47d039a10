//! The bytes a pod gets, serialised once when the session begins. SDKs are particular about them: a flat object of
//! non-empty strings without escapes, and an expiration in whole seconds with `Z`.

use bytes::Bytes;
use eks_auth::Exchange;
use identity::to_rfc3339;
use serde::Serialize;
use tracing::warn;
use zeroize::Zeroizing;

/// The CRT's SDKs give up on answers that are longer.
const LONGEST_FOR_ALL_SDKS: usize = 10_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    account_id: &'a str,
    expiration: &'a str,
}

/// An answer that another agent serialised, in memory that is wiped when its last reader is done.
pub(super) fn handed(answer: &str) -> Bytes {
    Bytes::from_owner(Zeroizing::new(answer.as_bytes().to_vec()))
}

/// The answer for these credentials, in memory that is wiped when its last reader is done.
pub(super) fn of(exchange: &Exchange) -> Bytes {
    let credentials = &exchange.credentials;
    let answer = Answer {
        access_key_id: &credentials.access_key_id,
        secret_access_key: credentials.secret_access_key.expose_str(),
        token: credentials.session_token.expose_str(),
        account_id: exchange.assumed_role_user.arn.account().as_str(),
        expiration: &to_rfc3339(credentials.expiration),
    };
    // Room for everything from the start: a vector that grows leaves unwiped copies behind.
    let length =
        [answer.access_key_id, answer.secret_access_key, answer.token].map(str::len).iter().sum::<usize>()
            + 160;
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    serde_json::to_writer(&mut *json, &answer).expect("strings can be written to a vector");
    if json.len() > LONGEST_FOR_ALL_SDKS {
        warn!(
            length = json.len(),
            association_id = exchange.association_id,
            "the answer is longer than 10,000 bytes, which SDKs on the AWS CRT refuse: shorten the session policy or tags"
        );
    }
    Bytes::from_owner(json)
}
