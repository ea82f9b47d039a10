//! Giving a service account a role, whatever it had before.

use std::time::SystemTime;

use control_plane::issuer::{NameError, namespace_name, object_name};
use control_plane::store::{AssociationStore, ChangeError, CreateError, Grant, NewAssociation, StoreError};
use thiserror::Error;

use super::messages::{AssociateReply, AssociateRequest, Outcome};

/// A service account was not given its role.
#[derive(Debug, Error)]
pub(crate) enum AssociateError {
    /// No pod can have these names, so the association could never match.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It could not be created, for another reason than that there is one.
    #[error(transparent)]
    Create(CreateError),
    /// It could not be changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates the association, or changes the one that is there. Asked twice, it does nothing the second time.
pub(crate) async fn associate(
    store: &dyn AssociationStore,
    request: AssociateRequest,
    now: SystemTime,
) -> Result<AssociateReply, AssociateError> {
    namespace_name(&request.namespace)?;
    object_name("service account", &request.service_account)?;
    let new = NewAssociation::from(request);
    loop {
        let id = match store.create(new.clone(), now).await {
            Ok(stored) => {
                return Ok(AssociateReply { outcome: Outcome::Created, association: stored.into() });
            }
            Err(CreateError::Taken(id)) => id,
            Err(error) => return Err(AssociateError::Create(error)),
        };
        // Somebody may delete it between these calls; then there is room for a new one.
        let Some(before) = store.find(&new.namespace, &new.service_account).await? else { continue };
        if Grant::of(&before.association) == new.grant {
            return Ok(AssociateReply { outcome: Outcome::Unchanged, association: before.into() });
        }
        if let Some(changed) = store.change(id, new.grant.clone().into(), now).await? {
            let outcome = Outcome::Changed { before: before.association.role_arn };
            return Ok(AssociateReply { outcome, association: changed.into() });
        }
    }
}
