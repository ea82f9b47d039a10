//! `pod-identity dev`: a whole pod identity system in one process on 127.0.0.1, without an account or a cluster.

mod folder;
mod greeting;
mod settings;
mod system;

pub(crate) use folder::{Folder, FolderError};
pub(crate) use greeting::greeting;
pub(crate) use settings::{Settings, SettingsError, StsSettings};
pub(crate) use system::{OpenError, PartEnded, System};
