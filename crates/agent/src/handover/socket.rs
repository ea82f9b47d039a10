//! The socket at which an agent waits for the one that takes its place.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use runtime::private_socket;
use thiserror::Error;
use tokio::net::UnixListener;

/// The socket cannot be there.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Its directory lets others in.
    #[error(
        "{directory} may be written by every user (mode {mode:o}): others could take the sessions of all pods; \
         give it to the agent's user or group alone"
    )]
    OpenToAll {
        /// The directory.
        directory: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operating system refuses.
    #[error("the socket {path} cannot be made")]
    Refused {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens at `path`, in place of the agent before, for this user alone.
///
/// # Errors
/// When the directory is open to all, or it cannot be made. Must be called inside a tokio runtime.
pub(super) fn open(path: &Path) -> Result<UnixListener, SocketError> {
    let refused = |source| SocketError::Refused { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::fs::metadata(directory).map_err(refused)?.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(SocketError::OpenToAll { directory: directory.to_owned(), mode });
    }
    private_socket::bind(path).map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_directory_that_is_open_to_all_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        let error = open(&folder.path().join("agent.sock")).unwrap_err();
        assert!(matches!(error, SocketError::OpenToAll { mode: 0o1777, .. }), "{error}");
    }
}
