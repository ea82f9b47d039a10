//! The half of pod identity that AWS keeps closed, for any cluster and for none.
//!
//! A token issuer as an API server has one, the associations in an embedded database, a development STS, and in front of
//! them the EKS Auth API and EKS's operations on associations, with their signatures checked. [`eks_auth::Service`] joins
//! them.

pub mod access_key;
pub mod api;
pub mod issuer;
pub mod private_file;
pub mod sigv4;
pub mod store;
pub mod sts;
