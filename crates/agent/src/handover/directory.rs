//! The directory of the socket, which outlives each agent: on the node, made ready by `initialize`, which is root, for agents
//! that are not.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// For its owner and its group, and nobody else.
const MODE: u32 = 0o770;

/// A directory and the group whose agents use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// The group's id.
    pub group: u32,
}

/// The directory cannot be made ready.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It is not there, or not to be seen.
    #[error("the hand-over directory {path} cannot be looked at: mount a directory of the node there")]
    Missing {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be given to the group.
    #[error(
        "the hand-over directory {path} cannot be given to group {group}: run this as the directory's owner and a member \
         of that group (supplementalGroups)"
    )]
    Refused {
        /// Its path.
        path: PathBuf,
        /// The group.
        group: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl HandoverDirectory {
    /// What is missing for agents of the group to use it, in words; `None` if nothing is.
    ///
    /// # Errors
    /// When it is not there.
    pub fn missing(&self) -> Result<Option<String>, DirectoryError> {
        let metadata = std::fs::metadata(&self.path)
            .map_err(|source| DirectoryError::Missing { path: self.path.clone(), source })?;
        let is_ready =
            metadata.is_dir() && metadata.gid() == self.group && metadata.mode() & 0o7777 & !0o2000 == MODE;
        Ok((!is_ready).then(|| {
            format!("give the directory {} to group {} with mode {MODE:o}", self.path.display(), self.group)
        }))
    }

    /// Gives it to the group, if it is not its already. Needs no capability, only to own it and to be of the group (chown(2)).
    ///
    /// # Errors
    /// When that is refused.
    pub fn prepare(&self) -> Result<Option<String>, DirectoryError> {
        let Some(step) = self.missing()? else { return Ok(None) };
        let refused = |source| DirectoryError::Refused { path: self.path.clone(), group: self.group, source };
        let change = |path: &Path| {
            chown(path, None, Some(self.group))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))
        };
        change(&self.path).map_err(refused)?;
        Ok(Some(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_given_to_the_group_once() {
        let folder = tempfile::tempdir().unwrap();
        let group = std::fs::metadata(folder.path()).unwrap().gid();
        let directory = HandoverDirectory { path: folder.path().to_owned(), group };
        assert!(directory.missing().unwrap().is_some(), "it is its owner's alone");
        assert!(directory.prepare().unwrap().is_some());
        assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o7777, MODE);
        assert_eq!((directory.missing().unwrap(), directory.prepare().unwrap()), (None, None));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let directory = HandoverDirectory { path: "/nonexistent".into(), group: 0 };
        let error = directory.prepare().unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
