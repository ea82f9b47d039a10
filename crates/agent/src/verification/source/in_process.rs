//! The keys of an issuer that is part of this process, as `pod-identity dev` has one.

use futures_util::future::{BoxFuture, ready};

use super::{FetchError, KeySet, KeySource, Reliance, SourceKind};

/// Keys that are at hand and stay as they are.
pub struct InProcessKeys {
    issuer: String,
    document: Vec<u8>,
}

impl InProcessKeys {
    /// The key set `document` (RFC 7517) of `issuer`.
    pub fn new(issuer: String, document: Vec<u8>) -> Self {
        Self { issuer, document }
    }
}

impl KeySource for InProcessKeys {
    fn kind(&self) -> SourceKind {
        SourceKind::InProcess
    }

    fn name(&self) -> String {
        self.issuer.clone()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>> {
        let issuer = Some(self.issuer.clone());
        Box::pin(ready(KeySet::read(issuer, self.document.clone(), Reliance::Whole)))
    }
}
