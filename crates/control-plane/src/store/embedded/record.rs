//! Associations and requests as they lie on disk.

use std::sync::Arc;

use identity::{Association, from_epoch_seconds, to_epoch_seconds};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{Stored, Tags, requests};
use super::failure::{FileError, damaged};

/// A record on disk. Members are only ever added, each with a default, within one schema version.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    association: Association,
    #[serde(default)]
    tags: Tags,
    created_at: f64,
    modified_at: f64,
}

/// A remembered request on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    parameters: String,
    at: u64,
    result: Record,
}

impl From<&Stored> for Record {
    fn from(stored: &Stored) -> Self {
        let Stored { association, tags, created_at, modified_at } = stored.clone();
        let (created_at, modified_at) = (to_epoch_seconds(created_at), to_epoch_seconds(modified_at));
        Self { association, tags, created_at, modified_at }
    }
}

impl Record {
    pub(super) fn stored(self) -> Result<Stored, FileError> {
        let Self { association, tags, created_at, modified_at } = self;
        let id = &association.id;
        let instant = |seconds| {
            from_epoch_seconds(seconds)
                .ok_or_else(|| damaged(&format!("association {id}"), &"its times are no times"))
        };
        let (created_at, modified_at) = (instant(created_at)?, instant(modified_at)?);
        Ok(Stored { association, tags, created_at, modified_at })
    }
}

impl From<&requests::Done> for Done {
    fn from(done: &requests::Done) -> Self {
        let requests::Done { parameters, at, result } = done;
        Self { parameters: parameters.clone(), at: *at, result: Record::from(&**result) }
    }
}

impl Done {
    pub(super) fn done(self) -> Result<requests::Done, FileError> {
        let Self { parameters, at, result } = self;
        Ok(requests::Done { parameters, at, result: Arc::new(result.stored()?) })
    }
}

pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has only members that JSON can hold")
}

/// What lies at that place.
pub(super) fn read<T: DeserializeOwned>(place: &str, json: &[u8]) -> Result<T, FileError> {
    serde_json::from_slice(json).map_err(|error| damaged(place, &error))
}
