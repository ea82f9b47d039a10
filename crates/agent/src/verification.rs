//! Who a token speaks for, as far as this node can tell by itself. What it cannot tell is EKS Auth's to say, and such a
//! token stands for nothing but itself.

use std::sync::Arc;

use eks_auth::TokenVerifier;
use identity::ServiceAccountToken;
use runtime::Clock;

use crate::session::{Owner, PodUid};

/// The check of tokens on this node. Clones share it.
#[derive(Clone)]
pub struct Verification {
    tokens: Option<Arc<dyn TokenVerifier>>,
    clock: Clock,
}

impl Verification {
    /// Asks `tokens`, or nobody.
    pub fn new(tokens: Option<Arc<dyn TokenVerifier>>, clock: Clock) -> Self {
        Self { tokens, clock }
    }

    /// Whose session a token may share: its pod's if the cluster has signed that, else its own alone.
    pub async fn owner(&self, token: &ServiceAccountToken) -> Owner {
        if let Some(tokens) = &self.tokens
            && let Ok(pod) = tokens.verify(token, self.clock.now()).await
        {
            return Owner::Pod(PodUid::verified(&pod.pod.uid));
        }
        Owner::Token(token.digest())
    }
}
