//! The socket at which an agent waits for the one that takes its place.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Listens at `path`, in place of whoever listened there before: one who connects reaches the one or the other. Only this user
/// may connect (mode 600).
///
/// # Errors
/// When the directory is open to all, or it cannot be made. Must be called inside a tokio runtime.
pub fn private_socket(path: &Path) -> Result<UnixListener, SocketError> {
    let refused = |source| SocketError::Refused { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::fs::metadata(directory).map_err(refused)?.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(SocketError::OpenToAll { directory: directory.to_owned(), mode });
    }
    // Under another name first: at no moment is the path without a socket, or one there that others may connect to.
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}", std::process::id()));
    let next = PathBuf::from(next);
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&next).map_err(refused)?;
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    std::fs::rename(&next, path).map_err(refused)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn the_socket_takes_the_place_of_the_one_before_and_is_this_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let _first = private_socket(&path).unwrap();
        let second = private_socket(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(connected.is_ok() && accepted.is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_directory_that_is_open_to_all_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        let error = private_socket(&folder.path().join("agent.sock")).unwrap_err();
        assert!(matches!(error, SocketError::OpenToAll { mode: 0o1777, .. }), "{error}");
    }
}
