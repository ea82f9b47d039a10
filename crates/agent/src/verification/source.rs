//! Where signing keys come from: the API server of the cluster, an issuer's published documents, a file.

mod api_server;
mod file;
mod in_process;
mod issuer;

use eks_auth::{SigningKeys, SigningKeysError};
use futures_util::future::BoxFuture;
use thiserror::Error;

pub use api_server::ApiServerKeys;
pub use file::KeyFile;
pub use in_process::InProcessKeys;
pub use issuer::{PublishedKeys, is_protected};

/// Somebody who can tell the keys that sign the cluster's tokens.
pub trait KeySource: Send + Sync {
    /// What it is: the label of its metrics.
    fn kind(&self) -> SourceKind;

    /// Which one it is, for people and for the copy on disk: a path, a URL.
    fn name(&self) -> String;

    /// The keys as they are now. May take as long as it takes: whoever asks gives up in time.
    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>>;
}

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The cluster's API server.
    ApiServer,
    /// OpenID Connect discovery at an issuer's URL.
    Issuer,
    /// A file.
    File,
    /// The issuer is part of this process.
    InProcess,
}

impl SourceKind {
    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "api_server",
            Self::Issuer => "issuer",
            Self::File => "file",
            Self::InProcess => "in_process",
        }
    }
}

/// The keys of one issuer, and how far they can be relied on.
#[derive(Clone)]
pub struct KeySet {
    /// The `iss` of the tokens they sign; `None` if the source does not say, and then they count for every issuer.
    pub issuer: Option<String>,
    /// The key set as it was published (RFC 7517), which is what a copy on disk holds.
    pub document: Vec<u8>,
    /// The same, read.
    pub keys: SigningKeys,
    /// Whether a key that is not among them may sign all the same.
    pub reliance: Reliance,
}

/// How far keys can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliance {
    /// What they did not sign is forged.
    Whole,
    /// They may be out of date at their source, as on EKS before Kubernetes 1.34: they confirm, and refuse nothing.
    ConfirmOnly,
}

impl KeySet {
    /// Reads a published key set.
    ///
    /// # Errors
    /// When it holds no key that could sign a token.
    pub fn read(issuer: Option<String>, document: Vec<u8>, reliance: Reliance) -> Result<Self, FetchError> {
        let keys = SigningKeys::from_jwks(&document)?;
        Ok(Self { issuer, document, keys, reliance })
    }
}

/// Why keys could not be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    /// The issuer cannot be asked.
    #[error(transparent)]
    Issuer(#[from] eks_auth::FetchError),
    /// The API server cannot be asked.
    #[error(transparent)]
    ApiServer(#[from] crate::api_server::ApiServerError),
    /// The discovery document is none.
    #[error("the discovery document is not one of OpenID Connect")]
    NoDiscovery(#[source] serde_json::Error),
    /// The discovery document is of somebody else.
    #[error("the discovery document is of the issuer {found}, not of {wanted}")]
    AnotherIssuer {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The keys lie where anybody on the way could change them.
    #[error("the keys are published at {0}, which is not https")]
    NotProtected(String),
    /// What came is no set of signing keys.
    #[error(transparent)]
    Keys(#[from] SigningKeysError),
    /// Nothing came in time.
    #[error("there was no answer within {} s", .0.as_secs())]
    TimedOut(std::time::Duration),
}
