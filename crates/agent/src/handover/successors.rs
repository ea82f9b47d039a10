//! The agents that take this one's place: one at a time, and if one fails, the next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::DrainWatch;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tracing::{info, warn};

use super::socket::{self, SocketError};
use super::wire::{Conversation, Message, WireError};
use crate::session::{Handed, Sessions};
use crate::verification::Verification;

/// A successor that does not listen is no successor.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where successors come.
pub(super) struct Successors {
    path: PathBuf,
    listener: UnixListener,
}

impl Successors {
    /// Listens at `path`, in place of whoever did before.
    ///
    /// # Errors
    /// When that cannot be; see [`SocketError`].
    pub(super) fn open(path: &Path) -> Result<Self, SocketError> {
        Ok(Self { path: path.to_owned(), listener: socket::open(path)? })
    }

    /// Hands over to whoever comes, until the drain starts.
    pub(super) async fn serve(self, sessions: &Sessions, verification: &Verification, drain: &DrainWatch) {
        tokio::select! {
            () = drain.started() => {}
            () = self.hand_over(sessions, verification) => {}
        }
    }

    async fn hand_over(mut self, sessions: &Sessions, verification: &Verification) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "no hand-over: nobody can be accepted");
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
            };
            let (took_over, error) = one(stream, sessions, verification).await;
            if took_over {
                warn!(reason = %error, "the agent that took this one's place is gone, this one goes on");
            } else {
                warn!(reason = %error, "an agent began to take this one's place and did not");
            }
            // It may have listened at the path.
            match socket::open(&self.path) {
                Ok(listener) => self.listener = listener,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "the next agent will start without sessions");
                }
            }
        }
    }
}

/// Hands over to one, for as long as it lives. Whether it served, and how it ended.
async fn one(stream: UnixStream, sessions: &Sessions, verification: &Verification) -> (bool, WireError) {
    let begun = timeout(PATIENCE, async {
        let mut conversation = Conversation::begin(stream).await?;
        conversation.say(&Message::Keys(verification.hand_over())).await?;
        let (all, changes) = sessions.hand_over();
        let count = all.len();
        for session in all {
            conversation.say(&Message::Session(session)).await?;
        }
        conversation.say(&Message::Complete).await?;
        Ok::<_, WireError>((conversation, changes, count))
    });
    let (mut conversation, mut changes, count) = match begun.await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return (false, error),
        Err(_) => return (false, WireError::Ended),
    };
    if let Err(error) = until_serving(&mut conversation, &mut changes).await {
        return (false, error);
    }
    info!(
        sessions = count,
        "another agent takes this one's place: it gets new connections and renews sessions"
    );
    let _left = sessions.leave_renewals();
    (true, tell_changes(&mut conversation, &mut changes).await)
}

/// Tells changes until the successor serves.
async fn until_serving(
    conversation: &mut Conversation,
    changes: &mut UnboundedReceiver<Handed>,
) -> Result<(), WireError> {
    loop {
        tokio::select! {
            Some(session) = changes.recv() => conversation.say(&Message::Session(session)).await?,
            heard = conversation.hear() => if matches!(heard?, Message::Serving) { return Ok(()) },
        }
    }
}

/// Tells changes until the successor is gone.
async fn tell_changes(conversation: &mut Conversation, changes: &mut UnboundedReceiver<Handed>) -> WireError {
    loop {
        let told = tokio::select! {
            Some(session) = changes.recv() => conversation.say(&Message::Session(session)).await,
            heard = conversation.hear() => heard.map(drop),
        };
        if let Err(error) = told {
            return error;
        }
    }
}
