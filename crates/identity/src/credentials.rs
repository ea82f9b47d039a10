//! Temporary AWS credentials and whose they are.

use std::time::SystemTime;

use crate::{Arn, Secret};

/// Temporary credentials as STS issues them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id (`ASIA…`). Not secret: CloudTrail and our audit log name it.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token that goes with every request.
    pub session_token: Secret,
    /// When AWS stops to honour them.
    pub expiration: SystemTime,
}

/// The role session behind a set of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedRoleUser {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: Arn,
    /// STS's `AssumedRoleId`: `AROA…:SESSION`.
    pub assume_role_id: String,
}
