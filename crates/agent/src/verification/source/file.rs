//! Keys in a file, as `kubectl get --raw /openid/v1/jwks` prints them. Read again at each refresh, so a file that is replaced
//! counts.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use futures_util::future::{BoxFuture, ready};

use super::{FetchError, KeySet, KeySource, Reliance, SourceKind};

/// No key set comes near.
const LONGEST: u64 = 1024 * 1024;

/// A file with a key set.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    issuer: Option<String>,
    reliance: Reliance,
}

impl KeyFile {
    /// The key set at `path`, of `issuer` if that is known.
    pub fn new(path: PathBuf, issuer: Option<String>, reliance: Reliance) -> Self {
        Self { path, issuer, reliance }
    }

    fn read(&self) -> Result<KeySet, FetchError> {
        let mut document = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut document))
            .map_err(FetchError::File)?;
        if document.len() as u64 > LONGEST {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB");
            return Err(FetchError::File(error));
        }
        KeySet::read(self.issuer.clone(), document, self.reliance)
    }
}

impl KeySource for KeyFile {
    fn kind(&self) -> SourceKind {
        SourceKind::File
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<KeySet, FetchError>> {
        Box::pin(ready(self.read()))
    }
}
