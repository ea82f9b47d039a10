//! What a store can answer instead of doing what it was asked to, whatever it keeps its associations in.

use std::error::Error as StdError;

use identity::AssociationId;
use thiserror::Error;

use super::grant::MOST_TAGS;
use super::{PolicyWithTags, TokenReused};

/// The store failed at its work. What was kept before is still there.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no room for more: nothing was changed, and nothing can be until somebody makes room.
    #[error("there is no room left where the associations are kept")]
    NoRoom(#[source] Source),
    /// What is kept cannot be understood: somebody must look at it.
    #[error("what is kept of the associations is damaged")]
    Damaged(#[source] Source),
    /// It cannot be reached or does not answer: whether the change was made is not known, and asking again may help.
    #[error("the place where the associations are kept failed")]
    Unavailable(#[source] Source),
}

/// What the place where associations are kept says itself.
pub type Source = Box<dyn StdError + Send + Sync>;

/// An association was not created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The service account has one already. AWS names the id in its 409, so it is kept.
    #[error("Association already exists: {0}")]
    Taken(AssociationId),
    /// The cluster has as many as it may have.
    #[error("the cluster has {limit} associations, and that is the limit: delete some that are not needed")]
    Full {
        /// The limit.
        limit: u64,
    },
    /// What it should give cannot be given.
    #[error(transparent)]
    Policy(#[from] PolicyWithTags),
    /// Another request had this name.
    #[error(transparent)]
    TokenReused(#[from] TokenReused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An association was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// What it should give cannot be given.
    #[error(transparent)]
    Policy(#[from] PolicyWithTags),
    /// Another request had this name.
    #[error(transparent)]
    TokenReused(#[from] TokenReused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An association was not tagged.
#[derive(Debug, Error)]
pub enum TagError {
    /// It would have too many tags.
    #[error("the association would have {would_be} tags, and {MOST_TAGS} are the limit: remove some first")]
    TooMany {
        /// How many it would have.
        would_be: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
