//! Associations page by page, in an order that stays: by namespace, then by service account.
//!
//! A page begins after a position, not after a count, so what is created or deleted between two pages neither repeats nor
//! hides anything else.

use super::Stored;

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
