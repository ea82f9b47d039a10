//! The five operations on pod identity associations.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{AssociationId, RoleArn};

use super::members::Request;
use super::requests::{CREATE, Create, LIST, List, UPDATE, Update};
use super::views::{Full, Many, One, Summary};
use super::{Answer, Refusal, Room};
use crate::store::{Change, Filter, Position, Stored};

/// How long a page is when nobody says otherwise, and at most (the model's `maxResults`).
const PAGE: usize = 100;

impl Room {
    pub(super) async fn create(
        &self,
        cluster: &str,
        request: &Request<'_>,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        self.is_ours(cluster)?;
        let create: Create = request.of_body(CREATE)?;
        self.is_of_our_account(&create.role_arn)?;
        let created = self.store.create(create.into(), now).await;
        Ok(self.one(&created.map_err(|error| Refusal::of_create(error, cluster))?))
    }

    pub(super) async fn list(&self, cluster: &str, request: &Request<'_>) -> Result<Answer, Refusal> {
        self.is_ours(cluster)?;
        let List { namespace, service_account, max_results, next_token } = request.of_query(LIST)?;
        let after = next_token.as_deref().map(position).transpose()?;
        let filter = Filter { namespace, service_account };
        let page = self.store.page(&filter, after.as_ref(), max_results.unwrap_or(PAGE)).await?;
        let associations = page.associations.iter();
        Ok(Answer::result(&Many {
            associations: associations
                .map(|stored| Summary::of(&stored.association, &self.cluster))
                .collect(),
            next_token: page.next.as_ref().map(token),
        }))
    }

    pub(super) async fn describe(&self, cluster: &str, id: &str) -> Result<Answer, Refusal> {
        let id = self.id(cluster, id)?;
        let stored = self.store.get(&id).await?.ok_or_else(|| self.no_association(id.as_str()))?;
        Ok(self.one(&stored))
    }

    pub(super) async fn update(
        &self,
        cluster: &str,
        id: &str,
        request: &Request<'_>,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        let id = self.id(cluster, id)?;
        let update: Update = request.of_body(UPDATE)?;
        if let Some(role) = &update.role_arn {
            self.is_of_our_account(role)?;
        }
        let change = Change::from(update);
        if change.is_empty() {
            let text = "Nothing is to be changed: send roleArn, targetRoleArn, disableSessionTags or policy. \
                        For another namespace or service account, delete the association and create a new one.";
            return Err(Refusal::Members(text.to_owned()));
        }
        let changed = self.store.change(id.clone(), change, now).await?;
        Ok(self.one(&changed.ok_or_else(|| self.no_association(id.as_str()))?))
    }

    pub(super) async fn delete(&self, cluster: &str, id: &str) -> Result<Answer, Refusal> {
        let id = self.id(cluster, id)?;
        let deleted = self.store.delete(id.clone()).await?;
        Ok(self.one(&deleted.ok_or_else(|| self.no_association(id.as_str()))?))
    }

    fn one(&self, stored: &Stored) -> Answer {
        Answer::result(&One { association: Full::of(stored, &self.cluster) })
    }

    /// The id in a path. What is no id is one that nobody has.
    fn id(&self, cluster: &str, id: &str) -> Result<AssociationId, Refusal> {
        self.is_ours(cluster)?;
        id.parse().map_err(|_| self.no_association(id))
    }

    fn no_association(&self, given: &str) -> Refusal {
        Refusal::NoAssociation { given: given.to_owned(), cluster: self.cluster.name.to_string() }
    }

    /// EKS's rule: the first role belongs to the cluster's account; others are reached through a target role.
    fn is_of_our_account(&self, role: &RoleArn) -> Result<(), Refusal> {
        let (ours, given) = (&self.cluster.account, role.account());
        if ours == given {
            return Ok(());
        }
        Err(Refusal::Members(format!(
            "roleArn: the role is of account {given} and the cluster of {ours}: send a role of the cluster's account, \
             and the other one as targetRoleArn."
        )))
    }
}

/// A position as callers carry it from page to page.
fn token(position: &Position) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).expect("two texts are always JSON"))
}

fn position(token: &str) -> Result<Position, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(token).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(|| {
        let text =
            "nextToken is none that was given out here: send the one of the page before, or leave it out.";
        Refusal::Members(text.to_owned())
    })
}
