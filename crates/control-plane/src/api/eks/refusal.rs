//! What the EKS API refuses, under the names and statuses of its model, with what the caller should change.

use tracing::error;

use super::super::answer::ApiError;
use crate::store::{ChangeError, CreateError, StoreError, TagError};

/// An operation is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The body cannot be read at all.
    Unreadable(String),
    /// Members are missing or are not what they must be.
    Members(String),
    /// There is no such cluster.
    NoCluster { given: String },
    /// There is no such association.
    NoAssociation { given: String, cluster: String },
    /// The service account has one already.
    Taken { message: String, cluster: String },
    /// The cluster has as many as it may have.
    Full { message: String, cluster: String },
    /// A call about tags has members missing or wrong; the model has names of its own for these calls.
    Tags(String),
    /// There is nothing of that ARN.
    NoResource { given: String },
    /// The store failed.
    Broken(StoreError),
}

impl Refusal {
    /// The same, as the operations on tags name it.
    pub(super) fn about_tags(self) -> Self {
        match self {
            Self::Unreadable(message) | Self::Members(message) => Self::Tags(message),
            other => other,
        }
    }

    pub(super) fn of_create(error: CreateError, cluster: &str) -> Self {
        let (message, cluster) = (error.to_string(), cluster.to_owned());
        match error {
            CreateError::Taken(_) => Self::Taken { message, cluster },
            CreateError::Full { .. } => Self::Full { message: sentence(&message), cluster },
            CreateError::Policy(_) | CreateError::TokenReused(_) => Self::Members(sentence(&message)),
            CreateError::Store(error) => Self::Broken(error),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Unreadable(_) | Self::Members(_) | Self::Full { .. } | Self::Tags(_) => 400,
            Self::NoCluster { .. } | Self::NoAssociation { .. } | Self::NoResource { .. } => 404,
            Self::Taken { .. } => 409,
            Self::Broken(_) => 500,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "InvalidRequestException",
            Self::Members(_) => "InvalidParameterException",
            Self::NoCluster { .. } | Self::NoAssociation { .. } => "ResourceNotFoundException",
            Self::Taken { .. } => "ResourceInUseException",
            Self::Full { .. } => "ResourceLimitExceededException",
            Self::Tags(_) => "BadRequestException",
            Self::NoResource { .. } => "NotFoundException",
            Self::Broken(_) => "ServerException",
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Policy(error) => Self::Members(sentence(&error.to_string())),
            ChangeError::TokenReused(error) => Self::Members(sentence(&error.to_string())),
            ChangeError::Store(error) => Self::Broken(error),
        }
    }
}

impl From<TagError> for Refusal {
    fn from(error: TagError) -> Self {
        match error {
            TagError::TooMany { .. } => Self::Tags(sentence(&error.to_string())),
            TagError::Store(error) => Self::Broken(error),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, name) = (refusal.status(), refusal.name());
        let (message, cluster) = match refusal {
            Refusal::Unreadable(message) | Refusal::Members(message) | Refusal::Tags(message) => {
                (message, None)
            }
            // The texts of this and of `Taken` are AWS's: tools look for them.
            Refusal::NoCluster { given } => {
                (format!("No cluster found for name: {}.", shown(&given)), Some(given))
            }
            Refusal::NoAssociation { given, cluster } => {
                let given = shown(&given);
                (
                    format!("No association found for id: {given}. List the cluster's to see their ids."),
                    Some(cluster),
                )
            }
            Refusal::Taken { message, cluster } | Refusal::Full { message, cluster } => {
                (message, Some(cluster))
            }
            Refusal::NoResource { given } => {
                let given = shown(&given);
                (
                    format!(
                        "There is no association with the ARN {given}: only associations have tags here."
                    ),
                    None,
                )
            }
            Refusal::Broken(error) => {
                error!(error = &error as &dyn std::error::Error, "an operation of the EKS API failed");
                (broken(&error).to_owned(), None)
            }
        };
        Self { status, name, message, cluster }
    }
}

/// What the caller can do about a store that failed.
fn broken(error: &StoreError) -> &'static str {
    match error {
        StoreError::NoRoom(_) => {
            "There is no room left where the associations are kept, so nothing was changed: free some disk space and send \
             the request again. The associations that are there are still served."
        }
        StoreError::Damaged(_) => {
            "What is kept of the associations is damaged, so nothing was changed: see the log of pod-identity for the \
             place, and restore the database or start with another folder."
        }
        StoreError::Unavailable(_) => {
            "The place where the associations are kept failed, and whether the change was made is not known: see the log of \
             pod-identity for the reason, and send the request again with the same clientRequestToken."
        }
    }
}

/// What may stand in a message: without control characters, and not long.
pub(super) fn shown(given: &str) -> String {
    given.chars().filter(|character| !character.is_control()).take(120).collect()
}

/// Our errors are clauses; a message is a sentence.
fn sentence(clause: &str) -> String {
    format!("{clause}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_is_a_server_exception_that_says_what_to_do() {
        type Kind = fn(crate::store::Source) -> StoreError;
        let kinds: [(Kind, &str); 3] = [
            (StoreError::NoRoom, "nothing was changed: free some disk space and send the request again"),
            (StoreError::Damaged, "restore the database"),
            (StoreError::Unavailable, "send the request again with the same clientRequestToken"),
        ];
        for (kind, wanted) in kinds {
            let ApiError { status, name, message, .. } = Refusal::Broken(kind("hunter2".into())).into();
            assert_eq!((status, name), (500, "ServerException"));
            assert!(message.contains(wanted) && !message.contains("hunter2"), "{message}");
        }
    }
}
