//! All sessions, from one agent to the one that takes its place: told by the one, taken over by the other.

use std::sync::Arc;

use identity::ServiceAccountToken;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::handed::{self, Handed};
use super::store::{Kept, LAST_MOMENTS};
use super::{Answer, Owner, PodUid, Sessions, State, answer};

impl Sessions {
    /// All sessions as they are, and then each as it changes, for the agent that takes this one's place.
    pub fn hand_over(&self) -> (Vec<Handed>, UnboundedReceiver<Handed>) {
        let (tell, changes) = unbounded_channel();
        let mut state = self.0.state();
        state.successor = Some(tell);
        (state.store.all_handed(), changes)
    }

    /// Takes over a session. False if it is over, or there is one as new.
    pub fn take_over(&self, handed: &Handed) -> bool {
        let now = self.0.clock.now();
        let times = [handed.obtained, handed.expires, handed.due].map(handed::time);
        let [Some(obtained), Some(expires), Some(due)] = times else { return false };
        let Ok(token) = ServiceAccountToken::parse(&handed.token) else { return false };
        let owner = match &handed.pod {
            Some(pod) => Owner::Pod(PodUid::verified(pod)),
            None => Owner::Token(token.digest()),
        };
        let mut state = self.0.state();
        if !self.0.policy.keeps_sessions()
            || now + LAST_MOMENTS >= expires
            || state.store.has_as_new(&owner, &token, obtained)
        {
            return false;
        }
        let issued = handed.issued.clone().filter(|_| self.0.policy.audited).map(|issued| Arc::new(*issued));
        let answer = Answer { body: answer::handed(&handed.answer), expires, issued };
        let kept = Kept { answer, association: handed.association.as_str().into(), obtained };
        let stored = state.store.keep(&owner, &token, kept, due);
        drop(state);
        if stored.is_next_due {
            self.0.due_sooner.notify_one();
        }
        true
    }

    /// Renews nothing in the background as long as this is held: another agent does. Pods that ask get what they ask for.
    pub fn leave_renewals(&self) -> RenewalsLeft {
        self.0.renews.send_replace(false);
        RenewalsLeft(self.clone())
    }
}

impl State {
    /// Tells the agent that takes this one's place what has become of a session.
    pub(super) fn tell_successor(&mut self, owner: &Owner, token: &ServiceAccountToken) {
        let Some(successor) = &self.successor else { return };
        let handed = self.store.of(owner, token).and_then(|id| self.store.handed(id));
        if handed.is_some_and(|handed| successor.send(handed).is_err()) {
            self.successor = None;
        }
    }
}

/// Held while another agent renews the sessions.
pub struct RenewalsLeft(Sessions);

impl Drop for RenewalsLeft {
    fn drop(&mut self) {
        self.0.0.state().successor = None;
        self.0.0.renews.send_replace(true);
    }
}
