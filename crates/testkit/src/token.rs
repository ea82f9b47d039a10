//! Service account tokens as kubelet projects them, unsigned: their signature is the canary.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{ServiceAccountToken, to_epoch_seconds};
use serde_json::{Value, json};

use crate::canary;

/// Makes tokens.
#[derive(Clone, Debug)]
pub struct TokenBuilder {
    claims: Value,
}

impl TokenBuilder {
    /// A token of pod `name` in namespace `shop`, service account `web`, made at `now` for an hour.
    pub fn of_pod(name: &str, now: SystemTime) -> Self {
        let seconds = to_epoch_seconds(now).floor();
        let claims = json!({
            "iss": "https://issuer.example", "aud": [identity::AUDIENCE], "sub": "system:serviceaccount:shop:web",
            "iat": seconds, "nbf": seconds, "exp": seconds + 3_600.0,
            "kubernetes.io": {
                "namespace": "shop", "serviceaccount": { "name": "web", "uid": "7d5c8f0e-sa" },
                "pod": { "name": name, "uid": format!("uid-of-{name}") }
            }
        });
        Self { claims }
    }

    /// A token of that pod for a real agent, which lives by the real clock: made now, as it goes on the wire.
    #[expect(clippy::disallowed_methods, reason = "the real agent lives by the real clock")]
    pub fn made_now(pod: &str) -> String {
        Self::of_pod(pod, SystemTime::now()).raw()
    }

    /// Ends `after` the time it was made.
    #[must_use]
    pub fn lasting(mut self, after: Duration) -> Self {
        let made = self.claims["iat"].as_f64().unwrap();
        self.claims["exp"] = json!(made + after.as_secs_f64());
        self
    }

    /// With another value for a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// Its claims.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The token as it goes on the wire.
    pub fn raw(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "RS256", "kid": "0123456789abcdef" });
        let signature = canary::MARKER.repeat(28);
        format!("{}.{}.{signature}", part(&header), part(&self.claims))
    }

    /// The token, parsed.
    pub fn token(&self) -> ServiceAccountToken {
        ServiceAccountToken::parse(&self.raw()).unwrap()
    }
}
