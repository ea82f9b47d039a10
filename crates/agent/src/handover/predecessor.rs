//! The agent whose place this one takes.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::wire::{Conversation, Message, WireError};
use crate::session::{Handed, Sessions};
use crate::verification::HandedKeys;

/// How long the predecessor may take to tell everything: pods wait meanwhile for an agent, if there is no other.
const PATIENCE: Duration = Duration::from_secs(2);

/// An agent that was met, and what it told.
pub struct Predecessor {
    /// It goes on telling; `None` if it said nothing that this one could use. It is there all the same.
    conversation: Option<Conversation>,
    /// Its sessions.
    pub(crate) sessions: Vec<Handed>,
    /// Its signing keys.
    pub(crate) keys: Option<HandedKeys>,
}

impl Predecessor {
    /// Meets the agent at `path`, if there is one that can be met. Takes no more than two seconds.
    pub async fn meet(path: &Path) -> Option<Self> {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                debug!(path = %path.display(), "no agent to take the place of");
                return None;
            }
            Err(error) => {
                warn!(path = %path.display(), error = &error as &dyn std::error::Error, "no hand-over: the socket cannot be used");
                return None;
            }
        };
        match timeout(PATIENCE, Self::listen_to(stream)).await {
            Ok(Ok(predecessor)) => Some(predecessor),
            Ok(Err(error @ WireError::AnotherUser { .. })) => {
                warn!(error = &error as &dyn std::error::Error, "no hand-over: this is not the agent before");
                None
            }
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "no hand-over: starting without sessions");
                Some(Self::silent())
            }
            Err(_) => {
                warn!("no hand-over: the agent before does not answer within {} s", PATIENCE.as_secs());
                Some(Self::silent())
            }
        }
    }

    fn silent() -> Self {
        Self { conversation: None, sessions: Vec::new(), keys: None }
    }

    async fn listen_to(stream: UnixStream) -> Result<Self, WireError> {
        let mut conversation = Conversation::begin(stream).await?;
        let (mut sessions, mut keys) = (Vec::new(), None);
        loop {
            match conversation.hear().await {
                Ok(Message::Session(session)) => sessions.push(session),
                Ok(Message::Keys(handed)) => keys = Some(handed),
                Ok(Message::Complete) => break,
                Ok(Message::Hello { .. } | Message::Serving | Message::Unknown) => {}
                // What it told before it died is as good as ever.
                Err(WireError::Ended | WireError::Broken(_)) if !sessions.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { conversation: Some(conversation), sessions, keys })
    }

    /// Tells it that this agent serves, and takes over each session that changes there, until it ends.
    pub(crate) async fn follow(self, sessions: &Sessions) {
        let Some(mut conversation) = self.conversation else { return };
        if conversation.say(&Message::Serving).await.is_err() {
            return;
        }
        let mut changes = 0_u32;
        let ended = loop {
            match conversation.hear().await {
                Ok(Message::Session(session)) => changes += u32::from(sessions.take_over(&session)),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        info!(changes, reason = %ended, "the agent before has ended");
    }
}
