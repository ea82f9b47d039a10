//! Kubernetes' list and watch of pods (Kubernetes API concepts, "Efficient detection of changes"), trimmed to what is needed.

use std::net::IpAddr;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use thiserror::Error;

use crate::api_server::{ApiServer, ApiServerError};

/// Pods in one answer. Whole pods are large, and memory that was needed once is not given back.
const PAGE: usize = 20;

/// How long the API server lets one watch live, in seconds. It sends a bookmark about once a minute.
const WATCH_SECONDS: u32 = 290;

/// A pod of this size cannot be stored.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// A pod, of that what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its uid.
    pub uid: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether these are the node's.
    pub on_host_network: bool,
    /// Whether it has succeeded or failed for good.
    pub has_ended: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Pods.
    pub pods: Vec<Pod>,
    /// The version of the whole list, where a watch goes on.
    pub version: String,
    /// Where the next page is, if there is one.
    pub next: Option<String>,
}

/// Something that a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pod is there, or has changed.
    There(Pod, String),
    /// The pod of this uid is gone.
    Gone(String, String),
    /// Nothing has changed up to this version.
    Bookmark(String),
}

/// Pods could not be listed or watched.
#[derive(Debug, Error)]
pub enum PodsError {
    /// The version from which to watch is too old: a new list is needed.
    #[error("the API server no longer has the changes since the last one")]
    TooOld,
    /// The API server cannot be asked.
    #[error(transparent)]
    ApiServer(ApiServerError),
    /// The watch broke off.
    #[error("the watch broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API server says that something is wrong with the watch.
    #[error("the API server ends the watch: {0}")]
    Ended(String),
    /// What came makes no sense.
    #[error("what the API server sent is no list of pods")]
    Malformed(#[source] serde_json::Error),
    /// A line without end.
    #[error("the API server sent a line of more than 4 MiB")]
    TooLong,
}

impl From<ApiServerError> for PodsError {
    fn from(error: ApiServerError) -> Self {
        match error {
            ApiServerError::Refused { status: 410, .. } => Self::TooOld,
            other => Self::ApiServer(other),
        }
    }
}

/// Who tells of the pods of this node.
pub trait PodSource: Send + Sync {
    /// A page of all pods: the first, or the one at `next`. Consistent: nothing that was so before is told as new.
    fn list<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Result<Listed, PodsError>>;

    /// What changes from `version` on. Ends from time to time.
    fn watch<'a>(
        &'a self,
        version: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Event, PodsError>>, PodsError>>;
}

/// The pods of one node, as the API server tells them.
pub struct ApiServerPods {
    api_server: ApiServer,
    path: String,
}

impl ApiServerPods {
    /// The pods of the node with this name.
    pub fn new(api_server: ApiServer, node: &str) -> Self {
        let node = utf8_percent_encode(node, NON_ALPHANUMERIC);
        Self { api_server, path: format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}") }
    }
}

impl PodSource for ApiServerPods {
    fn list<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Result<Listed, PodsError>> {
        Box::pin(async move {
            // Without a resourceVersion the list is consistent, not out of a cache that may be behind.
            let mut path = format!("{}&limit={PAGE}", self.path);
            if let Some(next) = next {
                path = format!("{path}&continue={}", utf8_percent_encode(next, NON_ALPHANUMERIC));
            }
            let body = self.api_server.open(&path).await?;
            let body = http_body_util::Limited::new(body, PAGE * LONGEST_LINE).collect().await;
            let body = body.map_err(PodsError::Broken)?.to_bytes();
            let list: List = serde_json::from_slice(&body).map_err(PodsError::Malformed)?;
            Ok(Listed {
                pods: list.items.unwrap_or_default().into_iter().map(Pod::from).collect(),
                version: list.metadata.resource_version,
                next: list.metadata.next.filter(|next| !next.is_empty()),
            })
        })
    }

    fn watch<'a>(
        &'a self,
        version: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Event, PodsError>>, PodsError>> {
        Box::pin(async move {
            let version = utf8_percent_encode(version, NON_ALPHANUMERIC);
            let path = format!(
                "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}",
                self.path
            );
            let body = self.api_server.open(&path).await?;
            let lines = Lines { body, read: BytesMut::new() };
            let events = stream::try_unfold(lines, async |mut lines| {
                let Some(line) = lines.next().await? else { return Ok(None) };
                Ok(Some((read_event(&line)?, lines)))
            });
            Ok(events.boxed())
        })
    }
}

/// The lines of a body as they come.
struct Lines<B> {
    body: B,
    read: BytesMut,
}

impl<B> Lines<B>
where
    B: http_body::Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Unpin,
{
    async fn next(&mut self) -> Result<Option<Bytes>, PodsError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(searched + end).freeze();
                self.read.advance(1);
                return Ok(Some(line));
            }
            searched = self.read.len();
            if searched > LONGEST_LINE {
                return Err(PodsError::TooLong);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(PodsError::Broken(error)),
                // Half a line is worth nothing.
                None => return Ok(None),
            }
        }
    }
}

#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    // Go writes an empty list as null.
    #[serde(default)]
    items: Option<Vec<PodObject>>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct PodObject {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    host_network: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    #[serde(default)]
    phase: String,
    #[serde(rename = "podIPs", default)]
    addresses: Vec<PodIp>,
}

#[derive(Deserialize)]
struct PodIp {
    #[serde(default)]
    ip: String,
}

impl From<PodObject> for Pod {
    fn from(pod: PodObject) -> Self {
        Self {
            uid: pod.metadata.uid,
            addresses: pod.status.addresses.iter().filter_map(|address| address.ip.parse().ok()).collect(),
            on_host_network: pod.spec.host_network,
            has_ended: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

fn read_event(line: &[u8]) -> Result<Event, PodsError> {
    #[derive(Deserialize)]
    struct Marked {
        metadata: ListMetadata,
    }
    #[derive(Deserialize)]
    struct Status {
        #[serde(default)]
        code: u16,
        #[serde(default)]
        message: String,
    }
    let Line { kind, object } = serde_json::from_slice(line).map_err(PodsError::Malformed)?;
    let pod = || serde_json::from_str::<PodObject>(object.get()).map_err(PodsError::Malformed);
    match kind {
        "ADDED" | "MODIFIED" => {
            let mut pod = pod()?;
            let version = std::mem::take(&mut pod.metadata.resource_version);
            Ok(Event::There(pod.into(), version))
        }
        "DELETED" => {
            let pod = pod()?;
            Ok(Event::Gone(pod.metadata.uid, pod.metadata.resource_version))
        }
        "BOOKMARK" => {
            let marked: Marked = serde_json::from_str(object.get()).map_err(PodsError::Malformed)?;
            Ok(Event::Bookmark(marked.metadata.resource_version))
        }
        _ => {
            let status: Status = serde_json::from_str(object.get()).map_err(PodsError::Malformed)?;
            if status.code == 410 { Err(PodsError::TooOld) } else { Err(PodsError::Ended(status.message)) }
        }
    }
}
