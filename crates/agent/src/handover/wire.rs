//! What the two agents say to each other: frames with their length before them, JSON in each.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::session::Handed;
use crate::verification::HandedKeys;

/// Grows when an agent of before could misread what one of later says. Agents that do not agree do without hand-over.
pub(super) const VERSION: u32 = 1;

/// No session and no key set comes near.
const LONGEST_FRAME: usize = 4 * 1024 * 1024;

/// One frame.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Message {
    /// The first word of both.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// The signing keys at hand.
    Keys(HandedKeys),
    /// A session, as it is now.
    Session(Handed),
    /// All sessions have been told; from now on changes are.
    Complete,
    /// The new agent gets all new connections.
    Serving,
    /// Something that a later version says.
    #[serde(other)]
    Unknown,
}

/// The conversation broke off.
#[derive(Debug, Error)]
pub(super) enum WireError {
    /// The other one is not the same user.
    #[error("the other end belongs to user {peer}, not to {ours}")]
    AnotherUser {
        /// Its user.
        peer: u32,
        /// This process's.
        ours: u32,
    },
    /// The other one speaks another version.
    #[error("the other agent hands over in version {0}, this one in version {VERSION}")]
    AnotherVersion(u32),
    /// It broke off.
    #[error("the connection broke off")]
    Broken(#[from] io::Error),
    /// What came makes no sense.
    #[error("the other agent said something unintelligible")]
    Unintelligible(#[source] serde_json::Error),
    /// It said something else than it should.
    #[error("the other agent did not say hello")]
    NoHello,
    /// It ended the conversation.
    #[error("the other agent ended the conversation")]
    Ended,
}

/// A conversation with a process of the same user.
pub(super) struct Conversation(Framed<UnixStream, LengthDelimitedCodec>);

impl Conversation {
    /// Looks at who is at the other end, and says hello.
    pub(super) async fn begin(stream: UnixStream) -> Result<Self, WireError> {
        let (peer, ours) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
        if peer != ours {
            return Err(WireError::AnotherUser { peer, ours });
        }
        let codec = LengthDelimitedCodec::builder().max_frame_length(LONGEST_FRAME).new_codec();
        let mut conversation = Self(Framed::new(stream, codec));
        conversation.say(&Message::Hello { version: VERSION }).await?;
        match conversation.hear().await? {
            Message::Hello { version: VERSION } => Ok(conversation),
            Message::Hello { version } => Err(WireError::AnotherVersion(version)),
            _ => Err(WireError::NoHello),
        }
    }

    pub(super) async fn say(&mut self, message: &Message) -> Result<(), WireError> {
        let frame = serde_json::to_vec(message).map_err(WireError::Unintelligible)?;
        Ok(self.0.send(Bytes::from(frame)).await?)
    }

    pub(super) async fn hear(&mut self) -> Result<Message, WireError> {
        match self.0.next().await {
            Some(frame) => serde_json::from_slice(&frame?).map_err(WireError::Unintelligible),
            None => Err(WireError::Ended),
        }
    }
}
