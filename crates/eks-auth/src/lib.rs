//! Service account token in, temporary credentials out: the contract that both halves of the system share.
//!
//! The agent calls it ([`EksAuth`], on AWS's own SDK); the control plane answers it ([`Service`]). They meet only here:
//! in the wire types, in the taxonomy of errors, and in the rules of how a token becomes a role session.

mod assume_role;
mod cause;
mod client;
mod exchange;
mod instance_metadata;
mod refusal;
mod service;
mod signing_keys;
mod sts;
mod transport;
mod wire;

pub use assume_role::{AssumeRole, AssumeRoleError, RoleAssumer, RoleSession};
pub use client::{
    EksAuth, ExchangeError, NodeDetails, OwnCredentials, OwnCredentialsFound, Probe, TimeBudget,
    UpstreamSettings,
};
pub use exchange::Exchange;
pub use instance_metadata::{InstanceMetadata, InstanceMetadataError};
pub use refusal::{ErrorCode, Refusal};
pub use service::{
    AssociationLookupError, Associations, Service, SessionDuration, TokenRefused, TokenVerifier,
};
pub use signing_keys::{Issuer, SignatureError, SigningKeys, SigningKeysError};
pub use sts::Sts;
pub use transport::{FetchError, Transport, TransportError, TransportSettings};
pub use wire::{AssumeRoleRequest, AssumeRoleResponse, WireToken};
