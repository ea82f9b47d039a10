//! What the agent answered, as it may be told: never the credentials.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::clients::Situation;
use crate::dial::{Answer, NoAnswer};

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    /// Who was asked.
    pub(super) agent: String,
    pub(super) status: Option<u16>,
    /// The code of a refusal, where the agent gives one.
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    /// Of credentials.
    pub(super) account_id: Option<String>,
    pub(super) expiration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    code: Option<String>,
    message: Option<String>,
    #[serde(rename = "AccountId")]
    account_id: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

pub(super) fn read(target: SocketAddr, answer: Result<Answer, NoAnswer>) -> Answered {
    let agent = target.to_string();
    let nothing = |message: &str| Answered {
        agent: agent.clone(),
        status: None,
        code: None,
        message: Some(message.to_owned()),
        account_id: None,
        expiration: None,
    };
    let Answer { status, body } = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Refused) => return nothing("nobody listens there"),
        Err(NoAnswer::Silence) => return nothing("what is sent there is not answered"),
        Err(NoAnswer::Speechless) => return nothing("it takes the connection and does not answer"),
        Err(NoAnswer::NotHttp) => return nothing("what answers there is no agent"),
        Err(NoAnswer::NoWay(reason)) => return nothing(&reason),
    };
    // AWS's agent refuses in plain text.
    let plain = || Body { message: Some(printable(&body)), ..Body::default() };
    let Body { code, message, account_id, expiration } = match serde_json::from_str(&body) {
        Ok(read) => read,
        Err(_) if status == 200 => Body::default(),
        Err(_) => plain(),
    };
    Answered { agent, status: Some(status), code, message, account_id, expiration }
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}

impl Answered {
    /// What an SDK makes of it.
    pub(super) fn situation(&self) -> Situation {
        match self.status {
            Some(200) => Situation::Served,
            Some(429) => Situation::Throttled,
            Some(400..500) => Situation::Refused,
            Some(_) => Situation::Unavailable,
            None => Situation::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::canary;

    use super::*;

    fn answered(status: u16, body: &str) -> Answered {
        let answer = Answer { status, body: body.to_owned() };
        read("169.254.170.23:80".parse().unwrap(), Ok(answer))
    }

    #[test]
    fn credentials_are_told_by_their_account_and_end_alone() {
        let body = format!(
            r#"{{"AccessKeyId":"ASIA","SecretAccessKey":"{0}","Token":"{0}","AccountId":"111122223333","Expiration":"2026-11-22T04:10:32Z"}}"#,
            canary::MARKER
        );
        for body in [body.as_str(), canary::MARKER] {
            let answer = answered(200, body);
            canary::assert_absent("an answer", &format!("{answer:?}"));
            assert_eq!(answer.situation(), Situation::Served);
        }
        assert_eq!(answered(200, &body).account_id.as_deref(), Some("111122223333"));
    }

    #[test]
    fn refusals_of_both_agents_are_read() {
        let ours = answered(
            404,
            r#"{"code":"ResourceNotFoundException","message":"none","Code":"x","Message":"y"}"#,
        );
        assert_eq!(
            (ours.code.as_deref(), ours.message.as_deref()),
            (Some("ResourceNotFoundException"), Some("none"))
        );
        let awss = answered(404, "[id]: (ResourceNotFoundException): none, fault: client\n");
        assert_eq!(awss.message.as_deref(), Some("[id]: (ResourceNotFoundException): none, fault: client"));
        assert_eq!(awss.situation(), Situation::Refused);
        assert_eq!(answered(429, "").situation(), Situation::Throttled);
        assert_eq!(answered(503, "{}").situation(), Situation::Unavailable);
        assert_eq!(
            read("127.0.0.1:1".parse().unwrap(), Err(NoAnswer::Refused)).situation(),
            Situation::Unreachable
        );
    }
}
