//! The agent's listeners: whether they answer where pods ask, and who it is that answers.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::cause::Cause;
use super::finding::Finding;
use super::listening;
use crate::dial::{self, Answer, NoAnswer};

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// This project's agent.
    Ours,
    /// AWS's agent.
    Awss,
    /// An agent that has too much to do.
    Busy(String),
    /// Something else that speaks HTTP, or not even that.
    Stranger(String),
    /// Nobody, and why.
    Nobody(NoAnswer),
}

/// One address, and who answers there.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) who: Who,
    /// Whether the agent is of no use without it.
    pub(super) required: bool,
    /// The program that has the port, where that could be found out.
    pub(super) holder: Option<String>,
}

/// What is known of the agent beside its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// Its process was found.
    Yes,
    /// It was looked for and not found.
    No,
    /// It may be anywhere.
    Unknown,
}

/// Asks an address for credentials without a token: each agent refuses that in its own words, and at once.
pub(super) async fn ask(address: SocketAddr, required: bool) -> Listener {
    let who = match dial::get(address, "/v1/credentials", None, None).await {
        Ok(answer) => recognise(&answer),
        Err(NoAnswer::NotHttp) => Who::Stranger("it does not speak HTTP".to_owned()),
        Err(no_answer) => Who::Nobody(no_answer),
    };
    let holder = match who {
        Who::Stranger(_) => listening::holder(address),
        _ => None,
    };
    Listener { address, who, required, holder }
}

/// Tells agents from others.
pub(super) fn recognise(Answer { status, body }: &Answer) -> Who {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        #[serde(rename = "Code")]
        capital_code: String,
    }
    let refusal =
        serde_json::from_str(body).ok().filter(|refusal: &Refusal| refusal.code == refusal.capital_code);
    match refusal {
        Some(refusal) if *status == 503 => Who::Busy(refusal.code),
        Some(_) => Who::Ours,
        // The words of AWS's agent.
        None if *status == 400 && body.contains("ervice account token cannot be empty") => Who::Awss,
        None => Who::Stranger(format!("it answers with status {status}")),
    }
}

/// What the listeners show.
pub(super) fn judge(listeners: &[Listener], running: Running) -> Vec<Finding> {
    let nobody_listens = listeners.iter().all(|listener| matches!(listener.who, Who::Nobody(_)));
    if running == Running::No && nobody_listens {
        let what = "no eks-pod-identity-agent runs here, and nobody answers on its addresses";
        let remedy = "kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=eks-pod-identity-agent --output wide\n\
                      and see why none is on this node: a taint, a node selector, a crash (kubectl logs)";
        return vec![Finding::error(Cause::AgentNotRunning, what, remedy)];
    }
    listeners.iter().map(one).collect()
}

fn one(Listener { address, who, required, holder }: &Listener) -> Finding {
    let port = address.port();
    // An address that may be missing is worth a word, not an alarm.
    let bad = |cause, what: String, remedy: String| {
        if *required { Finding::error(cause, what, remedy) } else { Finding::note(cause, what, remedy) }
    };
    match who {
        Who::Ours => Finding::ok(Cause::Endpoint, format!("the agent answers at {address}")),
        Who::Awss => Finding::ok(Cause::Endpoint, format!("AWS's agent answers at {address}")),
        Who::Busy(code) => Finding::error(
            Cause::AgentBusy,
            format!("the agent at {address} has no time: it answers {code}"),
            "wait, and see pod_identity_refusals_total of its metrics; which limit it is: docs/settings.md",
        ),
        Who::Stranger(how) => {
            let holder = holder.as_deref().unwrap_or("another server");
            Finding::error(
                Cause::PortTaken,
                format!("{holder} answers at {address}, and not the agent: {how}"),
                format!(
                    "have it listen on addresses of its own in place of all (nginx: listen ADDRESS:{port}), or on another port;\n\
                     then restart the agent. Who it is: ss -ltnp 'sport = :{port}'"
                ),
            )
        }
        Who::Nobody(NoAnswer::Refused) => bad(
            Cause::AgentNotListening,
            format!("nobody listens at {address}"),
            "see the agent's log: kubectl --namespace kube-system logs --selector app.kubernetes.io/name=eks-pod-identity-agent".to_owned(),
        ),
        Who::Nobody(NoAnswer::Speechless) => bad(
            Cause::AgentSilent,
            format!("who listens at {address} takes connections and does not answer"),
            "restart the agent on this node, and report what its log said last".to_owned(),
        ),
        Who::Nobody(NoAnswer::NoWay(error)) => bad(
            Cause::AgentUnreachable,
            format!("there is no way to {address}: {error}"),
            format!("ip route get {}", address.ip()),
        ),
        Who::Nobody(NoAnswer::Silence | NoAnswer::NotHttp) => bad(
            Cause::AgentUnreachable,
            format!("what is sent to {address} is not answered by anybody"),
            format!("look for who drops it: ip route get {}; nft list ruleset", address.ip()),
        ),
    }
}

/// Asks the probes that kubelet asks.
pub(super) async fn ask_probes(port: u16) -> Vec<Finding> {
    let address = SocketAddr::from((IpAddr::from([127, 0, 0, 1]), port));
    let (healthy, ready) =
        tokio::join!(dial::get(address, "/healthz", None, None), dial::get(address, "/readyz", None, None));
    judge_probes(address, &healthy, &ready)
}

fn judge_probes(
    address: SocketAddr,
    healthy: &Result<Answer, NoAnswer>,
    ready: &Result<Answer, NoAnswer>,
) -> Vec<Finding> {
    match (healthy, ready) {
        (Ok(Answer { status: 200, .. }), Ok(Answer { status: 200, .. })) => {
            vec![Finding::ok(Cause::Probes, format!("the agent says at {address} that it is well and ready"))]
        }
        (Ok(Answer { status: 200, .. }), Ok(Answer { body, .. })) => vec![Finding::error(
            Cause::AgentNotReady,
            format!("the agent is not ready: {}", body.lines().collect::<Vec<_>>().join("; ")),
            "mend what it names; it looks again at each probe",
        )],
        _ => vec![Finding::warning(
            Cause::ProbesUnreachable,
            format!("the agent's probes do not answer at {address}"),
            format!(
                "curl --noproxy '*' http://{address}/healthz; see who has the port: ss -ltnp 'sport = :{}'",
                address.port()
            ),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn each_agent_is_known_by_how_it_refuses_a_request_without_a_token() {
        let ours = r#"{"code":"TokenEmpty","message":"m","Code":"TokenEmpty","Message":"m"}"#;
        let busy = ours.replace("TokenEmpty", "TooManyConnections");
        assert_eq!(recognise(&answer(400, ours)), Who::Ours);
        assert_eq!(recognise(&answer(503, &busy)), Who::Busy("TooManyConnections".to_owned()));
        assert_eq!(recognise(&answer(400, "Service account token cannot be empty\n")), Who::Awss);
        for (status, body) in
            [(404, "404 page not found"), (200, "<html>"), (400, r#"{"code":"x","message":"y"}"#)]
        {
            assert!(matches!(recognise(&answer(status, body)), Who::Stranger(_)), "{body}");
        }
    }

    fn listener(who: Who, required: bool) -> Listener {
        let address = "169.254.170.23:80".parse().unwrap();
        Listener { address, who, required, holder: Some("nginx (process 7)".to_owned()) }
    }

    #[test]
    fn who_answers_decides_what_is_said() {
        let stranger = || Who::Stranger("it answers with status 404".to_owned());
        for (who, running, wanted, severity) in [
            (Who::Ours, Running::Yes, Cause::Endpoint, Severity::Ok),
            (Who::Awss, Running::No, Cause::Endpoint, Severity::Ok),
            (stranger(), Running::Yes, Cause::PortTaken, Severity::Error),
            (stranger(), Running::No, Cause::PortTaken, Severity::Error),
            (Who::Nobody(NoAnswer::Refused), Running::No, Cause::AgentNotRunning, Severity::Error),
            (Who::Nobody(NoAnswer::Refused), Running::Yes, Cause::AgentNotListening, Severity::Error),
            (Who::Nobody(NoAnswer::Refused), Running::Unknown, Cause::AgentNotListening, Severity::Error),
            (Who::Nobody(NoAnswer::Silence), Running::Yes, Cause::AgentUnreachable, Severity::Error),
            (Who::Nobody(NoAnswer::Speechless), Running::Yes, Cause::AgentSilent, Severity::Error),
        ] {
            let findings = judge(&[listener(who.clone(), true)], running);
            assert_eq!((findings[0].cause, findings[0].severity), (wanted, severity), "{who:?} {running:?}");
        }
        let optional = judge(&[listener(Who::Nobody(NoAnswer::Refused), false)], Running::Yes);
        assert_eq!(optional[0].severity, Severity::Note);
        assert!(
            judge(&[listener(stranger(), true)], Running::Yes)[0]
                .what
                .starts_with("nginx (process 7) answers")
        );
    }

    #[test]
    fn an_agent_that_is_not_ready_says_why() {
        let address = "127.0.0.1:2703".parse().unwrap();
        let ready = |status, body| Ok(answer(status, body));
        let well = || ready(200, "ok\n");
        let judged = |healthy, ready| judge_probes(address, &healthy, &ready).remove(0);
        assert_eq!(judged(well(), well()).severity, Severity::Ok);
        let not_ready = judged(well(), ready(503, "listener 169.254.170.23:80: it cannot be reached\n"));
        assert_eq!(not_ready.cause, Cause::AgentNotReady);
        assert!(not_ready.what.contains("it cannot be reached"));
        assert_eq!(judged(Err(NoAnswer::Refused), Err(NoAnswer::Refused)).cause, Cause::ProbesUnreachable);
    }
}
