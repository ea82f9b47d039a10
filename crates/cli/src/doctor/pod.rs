//! One process of a pod, as AWS's SDK in it sees the world: its variables, its token file, its network.

mod environment;
mod token;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use identity::Secret;
use runtime::Environment;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::cause::Cause;
use super::endpoint::{self, Who};
use super::finding::{Finding, Severity};
use crate::dial::{self, Answer, NoAnswer};
use crate::proc::{self, Variables, read_below_root};

/// Moving, asking and coming back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at a process. `agents`: where the agent is, as far as that is known.
pub(super) async fn look(pid: u32, agents: &[SocketAddr], now: SystemTime) -> Vec<Finding> {
    let variables = match proc::variables(pid) {
        Ok(variables) => variables,
        Err(error) => {
            let what = format!("the environment of process {pid} cannot be seen: {error}");
            return vec![Finding::warning(
                Cause::PodHidden,
                what,
                "name a process that runs, and run this command as root",
            )];
        }
    };
    let mut findings = environment::judge(&variables, agents);
    let token = read_token(pid, &variables, now, &mut findings);
    let is_wrong = findings.iter().any(|finding| finding.cause == Cause::PodWrongUri);
    // Where the SDK is sent wrong, it is the way to the agent that is of interest.
    let url = variables.get(environment::FULL_URI).filter(|_| !is_wrong);
    let target = url.as_deref().and_then(dial::address_of).or_else(|| agents.first().copied());
    // What the SDK could not send is not sent for it.
    let sendable = token.filter(|_| findings.iter().all(|finding| finding.severity < Severity::Error));
    if let Some(target) = target {
        let answer = ask_from(pid, target, sendable).await;
        findings.extend(judge(pid, target, answer));
    }
    findings
}

/// The pod's token, if it is good to be sent; what is wrong with it goes to `findings`.
fn read_token(
    pid: u32,
    variables: &Variables,
    now: SystemTime,
    findings: &mut Vec<Finding>,
) -> Option<Secret> {
    let path = variables.get(environment::TOKEN_FILE)?;
    let read = read_below_root(pid, Path::new(&path)).map(|bytes| {
        let text = String::from_utf8(bytes);
        Secret::from(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    });
    let mut found = token::judge(&path, &read, now);
    let file = proc::owner_below_root(pid, Path::new(&path)).ok();
    found.extend(proc::user(pid).zip(file).and_then(|(user, file)| token::unreadable(&path, &user, file)));
    let is_good = found.iter().all(|finding| finding.severity == Severity::Ok);
    findings.extend(found);
    read.ok().filter(|_| is_good)
}

/// Asks for credentials in the network of that process, as its SDK would; without a token, only whether anybody answers.
pub(crate) async fn ask_from(
    pid: u32,
    target: SocketAddr,
    token: Option<Secret>,
) -> Result<Answer, NoAnswer> {
    let (done, answer) = oneshot::channel();
    // A thread of its own: one that has moved to another network stays there.
    let moved = std::thread::Builder::new().name("pod".to_owned()).spawn(move || {
        let answer = || {
            let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, std::io::Error>(runtime.block_on(ask(target, token.as_ref())))
        };
        let answer = answer()
            .unwrap_or_else(|error| Err(NoAnswer::NoWay(format!("its network cannot be entered: {error}"))));
        // Nobody waits any more when it took too long.
        let _ = done.send(answer);
    });
    if moved.is_err() {
        return Err(NoAnswer::NoWay("no thread can be made".to_owned()));
    }
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer,
        _ => Err(NoAnswer::Speechless),
    }
}

/// A token goes to an agent alone.
pub(crate) async fn ask(target: SocketAddr, token: Option<&Secret>) -> Result<Answer, NoAnswer> {
    let without = dial::get(target, "/v1/credentials", None, None).await?;
    match (token, endpoint::recognise(&without)) {
        (_, Who::Stranger(_)) => Err(NoAnswer::NotHttp),
        (Some(token), Who::Ours | Who::Awss) => {
            let (token, patience) = (Some(token.expose_str()), Some(dial::PATIENCE_FOR_CREDENTIALS));
            dial::get(target, "/v1/credentials", token, patience).await
        }
        _ => Ok(without),
    }
}

/// What the answer says. The body of a good one holds credentials, and is not looked at.
fn judge(pid: u32, target: SocketAddr, answer: Result<Answer, NoAnswer>) -> Vec<Finding> {
    let unreachable = |how: String| {
        let remedy = format!(
            "a network policy, or a CNI that keeps pods off link-local addresses, stands in between: allow {target} for this pod \
             (Cilium: toEntities: [host]).\nTry it: nsenter --net=/proc/{pid}/ns/net curl --max-time 2 http://{target}/v1/credentials"
        );
        vec![Finding::error(
            Cause::PodUnreachable,
            format!("process {pid} does not reach the agent at {target}: {how}"),
            remedy,
        )]
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Refused) => return unreachable("the connection is refused".to_owned()),
        Err(NoAnswer::Silence) => return unreachable("its packets are not answered".to_owned()),
        Err(NoAnswer::Speechless) => return unreachable("it is connected and gets no answer".to_owned()),
        Err(NoAnswer::NotHttp) => return unreachable("what answers there is no agent".to_owned()),
        Err(NoAnswer::NoWay(reason)) => return unreachable(reason),
    };
    if answer.status == 200 {
        return vec![Finding::ok(
            Cause::Pod,
            format!("process {pid} gets credentials from the agent at {target}"),
        )];
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        code: String,
        message: String,
    }
    let refusal: Refusal = serde_json::from_str(&answer.body).unwrap_or_else(|_| Refusal {
        code: String::new(),
        message: answer.body.chars().take(300).collect(),
    });
    refused(pid, target, answer.status, &refusal.code, &refusal.message)
}

fn refused(pid: u32, target: SocketAddr, status: u16, code: &str, message: &str) -> Vec<Finding> {
    let message: String = message.chars().filter(|character| !character.is_control()).collect();
    let what = format!("process {pid} gets status {status} from the agent at {target}: {message}");
    // AWS's agent gives a text that holds the same names.
    let names = |name: &str| code == name || code.is_empty() && message.contains(name);
    vec![if names("TokenEmpty") || message.contains("ervice account token cannot be empty") {
        Finding::ok(Cause::Pod, format!("process {pid} reaches the agent at {target}"))
    } else if names("ResourceNotFoundException") {
        Finding::error(
            Cause::PodNoAssociation,
            what,
            "aws eks create-pod-identity-association --cluster-name CLUSTER --namespace NAMESPACE --service-account NAME --role-arn ARN\n\
             (with dev: pod-identity dev associate). It counts with the pod's next request, seconds later",
        )
    } else if names("AccessDeniedException") {
        Finding::error(
            Cause::PodRoleDenied,
            what,
            "let pods.eks.amazonaws.com assume the role: its trust policy must allow sts:AssumeRole and sts:TagSession to the service \
             principal pods.eks.amazonaws.com",
        )
    } else {
        Finding::error(
            Cause::PodRefused,
            what,
            "do what the answer says; if it says nothing, see the agent's log",
        )
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(status: u16, body: &str) -> (Cause, Severity) {
        let answer = Ok(Answer { status, body: body.to_owned() });
        let finding = judge(7, "169.254.170.23:80".parse().unwrap(), answer).remove(0);
        (finding.cause, finding.severity)
    }

    #[test]
    fn the_agents_answer_names_what_is_wrong() {
        let body = |code: &str| format!(r#"{{"code":"{code}","message":"m","Code":"{code}","Message":"m"}}"#);
        for (status, body, wanted) in [
            (200, "{}".to_owned(), (Cause::Pod, Severity::Ok)),
            (400, body("TokenEmpty"), (Cause::Pod, Severity::Ok)),
            (404, body("ResourceNotFoundException"), (Cause::PodNoAssociation, Severity::Error)),
            (
                404,
                "[id]: (ResourceNotFoundException): No association, fault: client".to_owned(),
                (Cause::PodNoAssociation, Severity::Error),
            ),
            (400, body("AccessDeniedException"), (Cause::PodRoleDenied, Severity::Error)),
            (503, body("UpstreamUnreachable"), (Cause::PodRefused, Severity::Error)),
            (502, "<html>".to_owned(), (Cause::PodRefused, Severity::Error)),
        ] {
            assert_eq!(found(status, &body), wanted, "{body}");
        }
    }
}
