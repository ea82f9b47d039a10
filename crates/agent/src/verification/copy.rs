//! The last good keys on disk, so that an agent that starts without an API server can check tokens all the same. Public keys,
//! and yet worth guarding: who writes this file decides whose tokens are believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::{info, warn};

use super::keyring::Keyring;
use super::source::{KeySet, Reliance};

/// No copy comes near.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Changes when a reader of today could misread what is written tomorrow.
const FORMAT: u32 = 1;

/// Why a copy is not used.
#[derive(Debug, Error)]
pub(super) enum CopyError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// Others could have written it.
    #[error("its mode is {mode:o} and its owner {owner}: it must be this user's file with mode 600")]
    NotOurs {
        /// Its mode.
        mode: u32,
        /// The uid of its owner.
        owner: u32,
    },
    /// It is none.
    #[error("it is not a copy of signing keys")]
    Malformed(#[source] serde_json::Error),
    /// Another version wrote it.
    #[error("it has format {0}, which this version does not know")]
    Format(u32),
}

/// Where the copy is.
pub(super) struct Copy(PathBuf);

/// What all sources hold, as it is written to disk and handed from one agent to the next. Public keys: no secret.
#[derive(Serialize, Deserialize)]
pub struct HandedKeys {
    format: u32,
    sources: Vec<WrittenSource>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSource {
    kind: String,
    name: String,
    issuer: Option<String>,
    confirm_only: bool,
    /// Seconds since 1970.
    fetched: u64,
    /// The document as it came, in base64.
    document: String,
}

impl HandedKeys {
    /// What all sources hold now.
    pub(super) fn of(keyring: &Keyring) -> Self {
        let sources = keyring.slots.iter().filter_map(|slot| {
            let held = slot.held()?;
            let fetched = held.fetched.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Some(WrittenSource {
                kind: slot.source.kind().as_str().to_owned(),
                name: slot.source.name(),
                issuer: held.set.issuer.clone(),
                confirm_only: held.set.reliance == Reliance::ConfirmOnly,
                fetched: fetched.as_secs(),
                document: STANDARD.encode(&held.set.document),
            })
        });
        Self { format: FORMAT, sources: sources.collect() }
    }

    /// Gives the sources what they held, as old as it is by now. What one has already stays, if it is as new.
    pub(super) fn restore(self, keyring: &Keyring, now: SystemTime) {
        for source in self.sources {
            let slot = keyring
                .slots
                .iter()
                .find(|slot| slot.source.kind().as_str() == source.kind && slot.source.name() == source.name);
            let reliance = if source.confirm_only { Reliance::ConfirmOnly } else { Reliance::Whole };
            let Some(slot) = slot else { continue };
            let Ok(document) = STANDARD.decode(&source.document) else { continue };
            let Ok(set) = KeySet::read(source.issuer, document, reliance) else { continue };
            // A time to come is a clock that was set back: age counts from now on.
            let fetched = (SystemTime::UNIX_EPOCH + Duration::from_secs(source.fetched)).min(now);
            info!(
                source = source.name,
                fetched = identity::to_rfc3339(fetched),
                "signing keys of an earlier run are used"
            );
            if slot.held().is_none_or(|held| held.fetched < fetched) {
                slot.hold(set, fetched);
            }
        }
    }
}

impl Copy {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Gives the sources what they held when the copy was made, as old as it is by now.
    pub(super) fn restore(&self, keyring: &Keyring, now: SystemTime) {
        match self.read() {
            Ok(Some(written)) => written.restore(keyring, now),
            Ok(None) => {}
            Err(error) => {
                warn!(
                    path = %self.0.display(), error = &error as &dyn std::error::Error,
                    "the copy of signing keys is not used; it is written anew as soon as keys come"
                );
            }
        }
    }

    fn read(&self) -> Result<Option<HandedKeys>, CopyError> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(nofollow).open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        if !metadata.is_file() || mode & 0o077 != 0 || owner != rustix::process::geteuid().as_raw() {
            return Err(CopyError::NotOurs { mode, owner });
        }
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        let written: HandedKeys = serde_json::from_slice(&text).map_err(CopyError::Malformed)?;
        if written.format == FORMAT { Ok(Some(written)) } else { Err(CopyError::Format(written.format)) }
    }

    /// Writes what the sources hold now, whole or not at all.
    pub(super) async fn write(&self, keyring: &Keyring) {
        let written = HandedKeys::of(keyring);
        let text = serde_json::to_vec(&written).expect("strings and numbers can be written");
        let path = self.0.clone();
        // A disk may take its time, and one thread answers all pods.
        let done = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
        if let Ok(Err(error)) = done {
            warn!(
                path = %self.0.display(), error = &error as &dyn std::error::Error,
                "signing keys cannot be kept on disk: a start without their source will be one without this check"
            );
        }
    }
}

/// A reader finds the old file or the new one, also after a power failure.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
