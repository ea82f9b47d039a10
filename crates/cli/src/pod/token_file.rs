//! The token file of a pod, laid out like the projected volume that kubelet mounts: the file is a link into `..data`,
//! and `..data` is swapped in one step, so that a reader sees the old token or the new one and never half of one.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use identity::Secret;
use tempfile::TempDir;

/// The mount path below `/var/run/secrets`, and the file in it, as EKS's webhook sets them.
const MOUNT: &str = "pods.eks.amazonaws.com/serviceaccount";
const FILE: &str = "eks-pod-identity-token";

/// A token file in a private folder, which is removed when this is dropped.
pub(super) struct TokenFile {
    folder: TempDir,
    volume: PathBuf,
    generation: u32,
}

impl TokenFile {
    /// Writes the first token.
    pub(super) fn create(token: &Secret) -> io::Result<Self> {
        let private = std::fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("pod-identity-").permissions(private).tempdir()?;
        let volume = folder.path().join(MOUNT);
        private_folder(&volume)?;
        private_file(&folder.path().join("no-shared-files"))?;
        let mut file = Self { folder, volume, generation: 0 };
        file.replace(token)?;
        symlink(Path::new("..data").join(FILE), file.path())?;
        Ok(file)
    }

    /// Where programs find the token.
    pub(super) fn path(&self) -> PathBuf {
        self.volume.join(FILE)
    }

    /// A file with nothing in it, for variables that must name one.
    pub(super) fn empty_file(&self) -> PathBuf {
        self.folder.path().join("no-shared-files")
    }

    /// Puts another token in its place, at once and whole.
    pub(super) fn replace(&mut self, token: &Secret) -> io::Result<()> {
        let next = self.generation + 1;
        let name = |generation: u32| format!("..{generation}");
        let (folder, link) = (self.volume.join(name(next)), self.volume.join("..data_tmp"));
        // What an earlier try left half-done is in the way and of no use.
        remove(std::fs::remove_dir_all(&folder))?;
        remove(std::fs::remove_file(&link))?;
        private_folder(&folder)?;
        // No line end: SDKs send the file as it is.
        private_file(&folder.join(FILE))?.write_all(token.expose())?;
        symlink(name(next), &link)?;
        std::fs::rename(&link, self.volume.join("..data"))?;
        let before = self.volume.join(name(self.generation));
        self.generation = next;
        remove(std::fs::remove_dir_all(before))
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn private_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_file_holds_the_token_alone_and_is_its_owners_alone() {
        let file = TokenFile::create(&Secret::from("a.b.c")).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"a.b.c");
        assert_eq!(std::fs::metadata(file.path()).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(file.folder.path()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::read(file.empty_file()).unwrap(), b"");
    }

    #[test]
    fn a_replaced_token_leaves_nothing_of_the_old_one_and_the_path_stays() {
        let mut file = TokenFile::create(&Secret::from("first")).unwrap();
        let path = file.path();
        for token in ["second", "third"] {
            file.replace(&Secret::from(token)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), token.as_bytes());
        }
        let mut names: Vec<_> =
            std::fs::read_dir(&file.volume).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["..3", "..data", FILE]);
    }

    #[test]
    fn an_open_file_goes_on_showing_the_token_it_was_opened_with() {
        let mut file = TokenFile::create(&Secret::from("first")).unwrap();
        let opened = std::fs::File::open(file.path()).unwrap();
        file.replace(&Secret::from("second")).unwrap();
        assert_eq!(io::read_to_string(opened).unwrap(), "first");
    }

    #[test]
    fn the_folder_goes_with_the_program() {
        let file = TokenFile::create(&Secret::from("first")).unwrap();
        let folder = file.folder.path().to_owned();
        drop(file);
        assert!(!folder.exists());
    }
}
