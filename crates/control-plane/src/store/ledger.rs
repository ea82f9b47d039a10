//! The associations of one cluster as maps, and what is decided on them.
//!
//! Deciding and doing are two steps: first the ledger says what is to be written, then that is kept wherever the store keeps
//! it, and only then does the ledger show it. So nobody reads what is not kept, and every store decides alike.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use identity::{Association, AssociationId};

use super::requests::{Remembered, Request, Requests};
use super::{
    Change, ChangeError, CreateError, Filter, Grant, MOST_TAGS, NewAssociation, Page, PolicyWithTags,
    Position, Stored, TagError, Tags,
};

/// What is there.
#[derive(Default)]
pub(super) struct Ledger {
    by_id: HashMap<AssociationId, Arc<Stored>>,
    /// By namespace and service account: the lookup of every exchange, the order of lists, and what makes the pair unique.
    by_account: BTreeMap<String, BTreeMap<String, Arc<Stored>>>,
    requests: Requests,
}

/// What a change comes to.
pub(super) enum Decision {
    /// It was made before: this was its answer.
    Repeated(Arc<Stored>),
    /// This is to be written.
    Write(Write),
}

/// A change that is to be kept whole or not at all.
pub(super) struct Write {
    pub(super) step: Step,
    /// The association as it is afterwards; before, where it is deleted.
    pub(super) stored: Arc<Stored>,
    /// The request that asked for it, if it had a name.
    pub(super) remembered: Option<Remembered>,
}

/// What happens to an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is created, or gives something else.
    Put,
    /// It has other tags and gives what it gave.
    Retag,
    /// It is deleted.
    Delete,
}

impl Write {
    fn of(step: Step, stored: Stored) -> Decision {
        Decision::Write(Self { step, stored: Arc::new(stored), remembered: None })
    }

    /// The id of the association.
    pub(super) fn id(&self) -> &AssociationId {
        &self.stored.association.id
    }
}

impl Ledger {
    /// The association of that id.
    pub(super) fn get(&self, id: &AssociationId) -> Option<&Stored> {
        self.by_id.get(id).map(|stored| &**stored)
    }

    /// The association of exactly these names.
    pub(super) fn find(&self, namespace: &str, service_account: &str) -> Option<&Stored> {
        self.by_account.get(namespace)?.get(service_account).map(|stored| &**stored)
    }

    /// A page of the list.
    pub(super) fn page(&self, filter: &Filter, after: Option<&Position>, longest: usize) -> Page {
        let wanted_namespace = filter.namespace.as_deref();
        let after = after.map(|(namespace, account)| (namespace.as_str(), account.as_str()));
        let first = match (wanted_namespace, after) {
            (Some(wanted), Some((namespace, _))) => Bound::Included(wanted.max(namespace)),
            (Some(wanted), None) => Bound::Included(wanted),
            (None, Some((namespace, _))) => Bound::Included(namespace),
            (None, None) => Bound::Unbounded,
        };
        let mut page = Page { associations: Vec::new(), next: None };
        for (namespace, accounts) in self.by_account.range::<str, _>((first, Bound::Unbounded)) {
            if wanted_namespace.is_some_and(|wanted| wanted != namespace) {
                break;
            }
            let first = match after {
                Some((last, account)) if last == namespace => Bound::Excluded(account),
                _ => Bound::Unbounded,
            };
            for (service_account, stored) in accounts.range::<str, _>((first, Bound::Unbounded)) {
                if filter.service_account.as_ref().is_some_and(|wanted| wanted != service_account) {
                    continue;
                }
                if page.associations.len() == longest {
                    page.next = page.associations.last().map(position);
                    return page;
                }
                page.associations.push(Stored::clone(stored));
            }
        }
        page
    }

    /// Decides on a new association.
    pub(super) fn create(
        &self,
        new: NewAssociation,
        limit: u64,
        now: SystemTime,
    ) -> Result<Decision, CreateError> {
        let request = Request::named(new.request_token.clone(), "create", &new);
        if let Some(request) = &request
            && let Some(first) = self.requests.first_answer(request, now)?
            // Deleted since: then the answer would name something that is not there, and there is room for a new one.
            && self.by_id.contains_key(&first.association.id)
        {
            return Ok(Decision::Repeated(Arc::clone(first)));
        }
        let NewAssociation { namespace, service_account, grant, tags, request_token: _ } = new;
        if let Some(taken) = self.find(&namespace, &service_account) {
            return Err(CreateError::Taken(taken.association.id.clone()));
        }
        let grant = grant.checked()?;
        if self.by_id.len() as u64 >= limit {
            return Err(CreateError::Full { limit });
        }
        let association = grant.to(self.unused_id(), namespace, service_account);
        let stored = Stored { association, tags, created_at: now, modified_at: now };
        Ok(self.put(stored, request, now))
    }

    /// Decides on a change; `None` when there is no such association.
    pub(super) fn change(
        &self,
        id: &AssociationId,
        change: Change,
        now: SystemTime,
    ) -> Result<Option<Decision>, ChangeError> {
        let Some(before) = self.get(id) else { return Ok(None) };
        let request = Request::named(change.request_token.clone(), "update", &(id, &change));
        if let Some(request) = &request
            && let Some(first) = self.requests.first_answer(request, now)?
        {
            return Ok(Some(Decision::Repeated(Arc::clone(first))));
        }
        let changed = changed(before, change, now)?;
        Ok(Some(self.put(changed, request, now)))
    }

    /// Decides on more tags; `None` when there is no such association.
    pub(super) fn tag(&self, id: &AssociationId, tags: Tags) -> Result<Option<Decision>, TagError> {
        let Some(mut stored) = self.get(id).cloned() else { return Ok(None) };
        stored.tags.extend(tags);
        match stored.tags.len() {
            would_be if would_be > MOST_TAGS => Err(TagError::TooMany { would_be }),
            _ => Ok(Some(Write::of(Step::Retag, stored))),
        }
    }

    /// Decides on fewer tags; `None` when there is no such association.
    pub(super) fn untag(&self, id: &AssociationId, keys: &[String]) -> Option<Decision> {
        let mut stored = self.get(id).cloned()?;
        stored.tags.retain(|key, _| !keys.contains(key));
        Some(Write::of(Step::Retag, stored))
    }

    /// Decides on a deletion; `None` when there is no such association.
    pub(super) fn delete(&self, id: &AssociationId) -> Option<Decision> {
        self.get(id).cloned().map(|stored| Write::of(Step::Delete, stored))
    }

    /// Shows what is kept by now.
    pub(super) fn apply(&mut self, Write { step, stored, remembered }: Write) {
        match step {
            Step::Put | Step::Retag => self.insert(stored),
            Step::Delete => self.remove(&stored.association),
        }
        if let Some(remembered) = remembered {
            self.requests.apply(remembered);
        }
    }

    /// Shows an association.
    pub(super) fn insert(&mut self, stored: Arc<Stored>) {
        let Association { id, namespace, service_account, .. } = &stored.association;
        let (id, namespace, service_account) = (id.clone(), namespace.clone(), service_account.clone());
        self.by_account.entry(namespace).or_default().insert(service_account, Arc::clone(&stored));
        self.by_id.insert(id, stored);
    }

    /// The requests that are remembered, to fill in.
    pub(super) fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    /// How many requests are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.requests.len()
    }

    fn remove(&mut self, association: &Association) {
        self.by_id.remove(&association.id);
        if let Some(accounts) = self.by_account.get_mut(&association.namespace) {
            accounts.remove(&association.service_account);
            if accounts.is_empty() {
                self.by_account.remove(&association.namespace);
            }
        }
    }

    fn put(&self, stored: Stored, request: Option<Request>, now: SystemTime) -> Decision {
        let stored = Arc::new(stored);
        let remembered = request.map(|request| self.requests.remembered(request, &stored, now));
        Decision::Write(Write { step: Step::Put, stored, remembered })
    }

    /// An id nobody has. 36^17 are enough that the second try is for proofs, not for practice.
    fn unused_id(&self) -> AssociationId {
        loop {
            let id = random_id();
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}

/// An association after a change: same id, same birthday.
fn changed(before: &Stored, change: Change, now: SystemTime) -> Result<Stored, PolicyWithTags> {
    let grant = change.of(Grant::of(&before.association)).checked()?;
    let Stored { association, tags, created_at, .. } = before.clone();
    let association = grant.to(association.id, association.namespace, association.service_account);
    Ok(Stored { association, tags, created_at, modified_at: now })
}

fn position(last: &Stored) -> Position {
    (last.association.namespace.clone(), last.association.service_account.clone())
}

fn random_id() -> AssociationId {
    // 252 is the largest multiple of 36 in a byte: bytes above it would favour the first four letters.
    const FAIR: u8 = 252;
    let mut fair = rand::random_iter::<u8>().filter(|byte| *byte < FAIR);
    AssociationId::from_choices(std::array::from_fn(|_| fair.next().expect("random bytes do not end")))
}
