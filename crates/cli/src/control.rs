//! The control socket of a running system: HTTP and JSON over a Unix socket that only its owner can open.

mod association;
mod client;
mod desk;
mod messages;
mod server;

use std::time::Duration;

pub(crate) use association::{AssociateError, associate};
pub(crate) use client::{Client, ControlError};
pub(crate) use desk::Desk;
pub(crate) use messages::{
    AccessKeyReply, AssociateReply, AssociateRequest, AssociationList, AssociationView, Failure, Status,
    TokenReply, TokenRequest,
};
pub(crate) use server::{ControlSocket, SocketError};

/// The longest a token is issued for. EKS projects tokens for 24 hours at most.
pub(crate) const LONGEST_TOKEN: Duration = Duration::from_secs(24 * 3_600);

/// Nothing that is asked here has more.
const MAX_BODY_BYTES: usize = 64 * 1024;
