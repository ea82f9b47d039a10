//! Sessions that go from one agent to the next.

use super::*;

/// What the record of an answer to this token would tell.
fn issued(sessions: &Sessions, token: &ServiceAccountToken) -> Option<Arc<Issued>> {
    match sessions.look_up(token.secret().expose()) {
        Known::Answer(answer) => answer.issued,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_goes_with_a_session_to_an_agent_that_audits() {
    let before = Room::new([], Step::issue());
    let token = before.token("web-0");
    before.ask_verified(&token).await.unwrap();
    let (handed, _changes) = before.sessions.hand_over();
    // As it goes over the socket.
    let wire = serde_json::to_string(&handed).unwrap();
    let handed: Vec<Handed> = serde_json::from_str(&wire).unwrap();

    let after = Room::new([], Step::issue());
    assert!(after.sessions.take_over(&handed[0]));
    let told = issued(&after.sessions, &token).unwrap();
    assert_eq!(told, issued(&before.sessions, &token).unwrap());
    assert_eq!((told.pod.as_deref(), told.access_key_id.as_str()), (Some("web-0"), key(1).as_str()));

    let without = Room::with(Policy { audited: false, ..POLICY }, Script::new([], Step::issue()));
    assert!(without.sessions.take_over(&handed[0]));
    assert_eq!(issued(&without.sessions, &token), None, "it costs memory");
    assert_eq!(after.calls() + without.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_of_an_agent_that_does_not_know_what_was_issued_is_taken_over_too() {
    let before = Room::new([], Step::issue());
    let token = before.token("web-0");
    before.ask_verified(&token).await.unwrap();
    let (handed, _changes) = before.sessions.hand_over();
    let mut wire = serde_json::to_value(&handed[0]).unwrap();
    wire.as_object_mut().unwrap().remove("issued");
    let after = Room::new([], Step::issue());
    assert!(after.sessions.take_over(&serde_json::from_value(wire).unwrap()));
    assert_eq!(issued(&after.sessions, &token), None);
}
