//! The folder a development system lives in: what is in it, and that only one system uses it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use control_plane::access_key::AccessKey;
use control_plane::private_file::{self, PrivateFileError};
use control_plane::store::{Holder, holder_of};
use identity::{AccountId, Secret};
use runtime::Environment;
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// The folder cannot be used.
#[derive(Debug, Error)]
pub(crate) enum FolderError {
    /// Nobody said where, and there is no home.
    #[error("there is no folder for the state: set HOME or XDG_STATE_HOME, or name a folder with --data DIR")]
    Homeless,
    /// Others could put something of theirs into it.
    #[error(
        "{} is open for writing to others (mode {mode:04o}, owner {owner}): \
         use a folder of your own, or run: chmod go-w {}",
        folder.display(), folder.display()
    )]
    Exposed {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's number.
        owner: u32,
    },
    /// Another system has it.
    #[error(
        "dev is already running with {}{}: stop it, or use another folder with --data DIR",
        folder.display(), holder.as_ref().map(|holder| format!(", as {holder}")).unwrap_or_default()
    )]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The process, if it can be found out.
        holder: Option<Holder>,
    },
    /// The operating system refused.
    #[error("the folder {} cannot be used", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key pair is there and cannot be used.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The key pair's file holds something else.
    #[error("{} holds no access key: delete it to have a new one made", file.display())]
    NoAccessKey {
        /// The file.
        file: PathBuf,
    },
}

/// Where a system's state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    path: PathBuf,
    is_default: bool,
}

/// The folder is ours until this is dropped, or the process is gone in whatever way.
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held for its lock")] File);

impl Folder {
    /// The folder that was named, or the default one of this user.
    pub(crate) fn find(named: Option<&Path>, environment: &impl Environment) -> Result<Self, FolderError> {
        if let Some(path) = named {
            // Absolute, so that lines to copy from our output work in any directory.
            let path = std::path::absolute(path)
                .map_err(|source| FolderError::Io { folder: path.to_owned(), source })?;
            return Ok(Self { path, is_default: false });
        }
        // XDG Base Directory Specification: relative values do not count.
        let state = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let state = match state {
            Some(state) => state,
            None => PathBuf::from(environment.get("HOME").ok_or(FolderError::Homeless)?).join(".local/state"),
        };
        Ok(Self { path: state.join("pod-identity/dev"), is_default: true })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is what is used without `--data`.
    pub(crate) fn is_default(&self) -> bool {
        self.is_default
    }

    /// The database of associations.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("associations.redb")
    }

    /// The key that signs tokens.
    pub(crate) fn signing_key(&self) -> PathBuf {
        self.path.join("signing-key.pem")
    }

    /// The control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Makes the folder if it is not there, and takes it for this process alone.
    pub(crate) fn take(&self) -> Result<FolderLock, FolderError> {
        let failed = |source| FolderError::Io { folder: self.path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        let folder = File::open(&self.path).map_err(failed)?;
        let found = folder.metadata().map_err(failed)?;
        let (mode, owner) = (found.mode() & 0o7777, found.uid());
        if mode & 0o022 != 0 || owner != rustix::process::geteuid().as_raw() {
            return Err(FolderError::Exposed { folder: self.path.clone(), mode, owner });
        }
        // A lock of the folder itself writes nothing and is gone with the process, however that ends.
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(FolderLock(folder)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let (folder, holder) = (self.path.clone(), holder_of(&self.database()));
                Err(FolderError::Busy { folder, holder })
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The key pair that signs calls to this system. The first time, it is made and kept.
    pub(crate) fn access_key(&self, account: &AccountId) -> Result<AccessKey, FolderError> {
        let file = self.path.join("access-key");
        if let Some(content) = private_file::read(&file)? {
            return parse(&content).ok_or(FolderError::NoAccessKey { file });
        }
        let key = AccessKey::long_term(account);
        private_file::create(&file, &Secret::from(format!("{} {}\n", key.id, key.secret.expose_str())))?;
        Ok(key)
    }
}

/// Id and secret, with a space between them.
fn parse(content: &Secret) -> Option<AccessKey> {
    let (id, secret) = content.expose_str().trim_end().split_once(' ')?;
    let is_id =
        id.len() == 20 && id.starts_with("AKIA") && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_id && secret.len() == 40).then(|| AccessKey { id: id.to_owned(), secret: Secret::from(secret) })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn default_with(variables: &[(&'static str, &'static str)]) -> Result<PathBuf, FolderError> {
        let environment: HashMap<&str, &str> = variables.iter().copied().collect();
        Folder::find(None, &environment).map(|folder| folder.path)
    }

    #[test]
    fn the_default_folder_is_in_the_users_state_folder() {
        let home = Path::new("/home/ada/.local/state/pod-identity/dev");
        assert_eq!(default_with(&[("HOME", "/home/ada")]).unwrap(), home);
        assert_eq!(default_with(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "not/absolute")]).unwrap(), home);
        assert_eq!(default_with(&[("XDG_STATE_HOME", "/s")]).unwrap(), Path::new("/s/pod-identity/dev"));
        assert!(matches!(default_with(&[]), Err(FolderError::Homeless)));
    }

    #[test]
    fn a_new_folder_is_its_owners_alone_and_one_systems_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder { path: base.path().join("deep/down"), is_default: false };
        let held = folder.take().unwrap();
        assert_eq!(std::fs::metadata(&folder.path).unwrap().mode() & 0o7777, 0o700);
        let busy = folder.take().map(|_| ()).unwrap_err();
        assert!(busy.to_string().contains("already running with"), "{busy}");
        drop(held);
        assert!(folder.take().is_ok());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder { path: base.path().to_owned(), is_default: false };
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        let error = folder.take().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("mode 0770") && error.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn the_access_key_is_made_once_and_a_strange_file_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder { path: base.path().to_owned(), is_default: false };
        let account = "111122223333".parse().unwrap();
        let made = folder.access_key(&account).unwrap();
        assert_eq!(folder.access_key(&account).unwrap(), made);
        let file = base.path().join("access-key");
        std::fs::remove_file(&file).unwrap();
        private_file::create(&file, &Secret::from("hunter2")).unwrap();
        let error = folder.access_key(&account).unwrap_err().to_string();
        assert!(error.contains("holds no access key") && !error.contains("hunter2"), "{error}");
    }
}
