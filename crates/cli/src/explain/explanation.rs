//! The explanation: for people, for programs, and as an exit code.

use std::process::ExitCode;

use serde::Serialize;

use super::answer::Answered;
use super::association::{Found, Known};
use super::clients::{Behaviour, Situation};
use super::token::{Outcome, Said};

/// As doctor's: it changes when a member changes its meaning or goes.
const SCHEMA: u32 = 1;

/// All of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    schema: u32,
    /// Where the token is from.
    from: String,
    token: Said,
    /// `found`, `none` or `unknown`.
    association_state: &'static str,
    association: Option<Found>,
    /// Why it is not known.
    association_unknown: Option<String>,
    answer: Option<Answered>,
    summary: &'static str,
    clients: Vec<Behaviour>,
    #[serde(skip)]
    is_well: bool,
}

impl Explanation {
    pub(super) fn new(
        from: String,
        token: Said,
        known: Known,
        answer: Option<Answered>,
        situation: Situation,
    ) -> Self {
        let is_refused = answer.as_ref().is_some_and(|answer| answer.situation() != Situation::Served);
        let is_well = !token.fails() && !matches!(known, Known::None) && !is_refused;
        let (association_state, association, association_unknown) = match known {
            Known::Found(found) => ("found", Some(found), None),
            Known::None => ("none", None, None),
            Known::Unknown(reason) => ("unknown", None, Some(reason)),
        };
        Self {
            schema: SCHEMA,
            from,
            token,
            association_state,
            association,
            association_unknown,
            answer,
            summary: situation.summary(),
            clients: situation.behaviours(),
            is_well,
        }
    }

    /// 1 when something is in the way of credentials.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(u8::from(!self.is_well))
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("an explanation has only members that JSON can hold")
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("token, from {}", self.from)];
        self.tell_token(&mut lines);
        lines.push("association".to_owned());
        self.tell_association(&mut lines);
        if let Some(answer) = &self.answer {
            lines.push(format!("answer of the agent at {}", answer.agent));
            tell_answer(answer, &mut lines);
        }
        lines.push("SDKs".to_owned());
        lines.push(format!("  {}", self.summary));
        lines.extend(self.clients.iter().map(|Behaviour { clients, does }| format!("    {clients}: {does}")));
        lines.join("\n")
    }

    fn tell_token(&self, lines: &mut Vec<String>) {
        let Said {
            issuer, audiences, issued, expires, namespace, service_account, pod, node, checks, ..
        } = &self.token;
        let account = namespace
            .as_ref()
            .zip(service_account.as_ref())
            .map(|(namespace, name)| format!("{namespace}/{name}"));
        let audiences = Some(audiences.join(", ")).filter(|audiences| !audiences.is_empty());
        for (name, value) in [
            ("service account", &account),
            ("pod", pod),
            ("node", node),
            ("issuer", issuer),
            ("audience", &audiences),
            ("issued", issued),
            ("expires", expires),
        ] {
            lines.extend(value.as_ref().map(|value| format!("  {name:16} {}", printable(value))));
        }
        for check in checks {
            let word = match check.outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "failed",
                Outcome::Unknown => "unknown",
            };
            lines.push(format!("  {word:8} {}: {}", check.name, printable(&check.why)));
        }
    }

    fn tell_association(&self, lines: &mut Vec<String>) {
        let Some(Found { association_id, session_tags, hops }) = &self.association else {
            lines.push(match &self.association_unknown {
                Some(reason) => format!("  unknown: {reason}"),
                None => "  none: this service account has no role; pod-identity dev associate gives it one"
                    .to_owned(),
            });
            return;
        };
        let tags = if *session_tags { "with the six session tags" } else { "without session tags" };
        lines.push(format!("  {association_id}, {tags}"));
        for (number, hop) in hops.iter().enumerate() {
            lines.push(format!(
                "  {} of {}: {} assumes {}",
                number + 1,
                hops.len(),
                hop.assumed_by,
                hop.role
            ));
            lines.push(format!("    its trust policy must hold, on EKS: {}", hop.trust_statement));
            let permission = hop.caller_permission.as_ref();
            lines.extend(
                permission.map(|permission| {
                    format!("    permissions of the role before it must hold: {permission}")
                }),
            );
        }
    }
}

fn tell_answer(answer: &Answered, lines: &mut Vec<String>) {
    let Answered { status, code, message, account_id, expiration, .. } = answer;
    match status {
        Some(status) => lines.push(format!(
            "  status {status}{}",
            code.as_ref().map(|code| format!(", code {}", printable(code))).unwrap_or_default()
        )),
        None => lines.push("  none".to_owned()),
    }
    lines.extend(message.as_ref().map(|message| format!("  {}", printable(message))));
    if let (Some(account), Some(end)) = (account_id, expiration) {
        lines.push(format!("  credentials of account {}, until {}", printable(account), printable(end)));
    }
}

/// Claims are anybody's words until a signature says otherwise: nothing of them reaches a terminal as an escape.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
