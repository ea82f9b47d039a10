//! Associations page by page, in an order that stays: by namespace, then by service account.
//!
//! A page begins after a position, not after a count, so what is created or deleted between two pages neither repeats nor
//! hides anything else.

use std::ops::Bound;

use redb::ReadableDatabase;

use super::record::read;
use super::schema::{ASSOCIATIONS, BY_SERVICE_ACCOUNT};
use super::{Store, StoreError, Stored};

/// Which associations are wanted. Names match exactly.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of this namespace.
    pub namespace: Option<String>,
    /// Those of service accounts of this name.
    pub service_account: Option<String>,
}

/// The namespace and service account of the last association of a page.
pub type Position = (String, String);

/// Some of the associations.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In order.
    pub associations: Vec<Stored>,
    /// Where the next page begins; `None` when there are no more.
    pub next: Option<Position>,
}

impl Store {
    /// At most `longest` of the associations that the filter lets through, from after a position.
    ///
    /// # Errors
    /// When the database fails.
    pub fn page(
        &self,
        filter: &Filter,
        after: Option<&Position>,
        longest: usize,
    ) -> Result<Page, StoreError> {
        let transaction = self.database.begin_read()?;
        let records = transaction.open_table(ASSOCIATIONS)?;
        let ids = transaction.open_table(BY_SERVICE_ACCOUNT)?;
        let wanted_namespace = filter.namespace.as_deref();
        // No name of a service account is empty, so this is before the namespace's first.
        let first = wanted_namespace.map_or(Bound::Unbounded, |namespace| Bound::Included((namespace, "")));
        let start = match after {
            Some((namespace, account))
                if wanted_namespace.is_none_or(|wanted| wanted <= namespace.as_str()) =>
            {
                Bound::Excluded((namespace.as_str(), account.as_str()))
            }
            _ => first,
        };
        let mut page = Page { associations: Vec::new(), next: None };
        for entry in ids.range::<(&str, &str)>((start, Bound::Unbounded))? {
            let (names, id) = entry?;
            let (namespace, service_account) = names.value();
            if wanted_namespace.is_some_and(|wanted| wanted != namespace) {
                break;
            }
            if filter.service_account.as_deref().is_some_and(|wanted| wanted != service_account) {
                continue;
            }
            if page.associations.len() == longest {
                page.next = page.associations.last().map(|last| {
                    (last.association.namespace.clone(), last.association.service_account.clone())
                });
                break;
            }
            page.associations.extend(read(&records, id.value())?);
        }
        Ok(page)
    }
}
