//! Whose pods are served.

use identity::{ClusterName, ClusterNameError};

use super::mistakes::{Mistake, Reader};
use crate::cluster_name::Informants;

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// This one.
    Named(ClusterName),
    /// The one that this node is of.
    OfNode(Informants),
}

impl Cluster {
    /// The cluster of that name or, without one, the node's, where there is anybody to ask.
    pub(super) fn read(given: Option<&str>, informants: Informants, place: &mut Self, reader: &mut Reader) {
        let setting = "--cluster-name";
        match given.filter(|given| !given.is_empty()).map(str::parse) {
            Some(Ok(name)) => *place = Self::Named(name),
            Some(Err(error)) => {
                let error: ClusterNameError = error;
                reader.add(Mistake::new(setting, given.unwrap_or_default(), &error.to_string()));
            }
            None if informants.instance_metadata || informants.node.is_some() => {
                *place = Self::OfNode(informants)
            }
            None => {
                let allowed = ClusterNameError.to_string();
                reader.add(Mistake { setting: setting.to_owned(), given: None, allowed });
            }
        }
    }
}
