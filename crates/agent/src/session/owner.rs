//! Whose a session is: a pod's, where the node has verified who asks; otherwise one token's, and nobody else's.

use std::borrow::Borrow;
use std::sync::Arc;

use identity::TokenDigest;

/// The uid of a pod, which Kubernetes never gives twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodUid(Arc<str>);

impl PodUid {
    /// The uid that a token names. Whoever makes one from a token has verified that token.
    pub fn verified(uid: &str) -> Self {
        Self(uid.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PodUid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Who shares a session and an exchange. A token that nobody has verified never gets at what is a pod's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The pod, by whichever of its tokens.
    Pod(PodUid),
    /// Exactly this token.
    Token(TokenDigest),
}
