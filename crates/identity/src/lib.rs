//! The nouns of pod identity and the rules that hold for them everywhere.
//!
//! Nothing here does I/O or asks for the time: every rule is a function of its arguments, so every rule is a plain test.
//! The other crates speak in these types; text from outside is parsed into them once, at the edge.

mod arn;
mod association;
mod cluster;
mod credentials;
mod instant;
mod policy_statement;
mod secret;
mod session_name;
mod session_tags;
mod token;

pub use arn::{AccountId, Arn, ArnError, RoleArn};
pub use association::{Association, AssociationId, AssociationIdError};
pub use cluster::{Cluster, ClusterName, ClusterNameError};
pub use credentials::{AssumedRoleUser, Credentials};
pub use instant::{Rfc3339Error, from_epoch_seconds, from_rfc3339, to_epoch_seconds, to_rfc3339};
pub use policy_statement::{Condition, PermissionStatement, Principal, TrustStatement};
pub use secret::Secret;
pub use session_name::{SessionName, SessionNameError};
pub use session_tags::SessionTags;
pub use token::{
    AUDIENCE, Claims, LEEWAY, ObjectReference, PodIdentity, ServiceAccountToken, TokenDigest, TokenError,
};
