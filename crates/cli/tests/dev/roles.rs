//! Roles assumed by an STS that is not ours.

use std::sync::{Arc, Mutex};

use testkit::canary;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::system::{ROLE, System, folder};

/// An STS that issues the same credentials to everybody and remembers what it was asked, or refuses everybody.
struct FakeSts {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeSts {
    async fn start(status: u16, answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_task = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = read(stream, status, &answer).await;
                of_task.lock().unwrap().push(asked);
            }
        });
        Self { endpoint, asked }
    }

    async fn granting() -> Self {
        let marker = canary::MARKER;
        Self::start(
            200,
            format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>AROA3XFRBF535EXAMPLE1:eks</AssumedRoleId>\
             <Arn>arn:aws:sts::111122223333:assumed-role/web/eks</Arn></AssumedRoleUser><Credentials>\
             <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>{marker}</SecretAccessKey>\
             <SessionToken>{marker}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             <PackedPolicySize>55</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>"
            ),
        )
        .await
    }

    async fn refusing(code: &str, message: &str) -> Self {
        let error =
            format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::start(403, format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>")).await
    }

    /// The form that the last call sent.
    fn last(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

/// Reads one request to its end, answers, closes; gives head and body.
async fn read(mut stream: TcpStream, status: u16, answer: &str) -> String {
    let mut read = String::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        let count = stream.read(&mut chunk).await.unwrap();
        read.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n", answer.len());
    stream.write_all(format!("{head}Connection: close\r\n\r\n{answer}").as_bytes()).await.unwrap();
    read
}

async fn system(data: &std::path::Path, sts: &FakeSts) -> System {
    let flags = ["--ephemeral", "--sts-endpoint", &sts.endpoint, "--associate", &format!("shop/web={ROLE}")];
    let own = [("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", canary::MARKER)];
    System::start_with(data, &flags, &own).await
}

#[tokio::test]
async fn an_sts_of_ones_own_is_asked_as_eks_asks_and_its_credentials_reach_the_pod() {
    let (data, sts) = (folder(), FakeSts::granting().await);
    let system = system(data.path(), &sts).await;
    let answer = system.credentials(&system.token().await).await.json();
    assert_eq!(
        (&answer["AccessKeyId"], &answer["AccountId"]),
        (&"ASIAIOSFODNN7EXAMPLE".into(), &"111122223333".into())
    );
    let asked = sts.last();
    for wanted in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fweb",
        "RoleSessionName=eks-dev-web-0-",
        "DurationSeconds=21600",
        "Tags.member.1.Key=eks-cluster-arn",
        "Tags.member.6.Key=kubernetes-pod-uid",
        "TransitiveTagKeys.member.6=kubernetes-pod-uid",
        "Credential=AKIAI44QH8DHBEXAMPLE/",
    ] {
        assert!(asked.contains(wanted), "{wanted}: {asked}");
    }
    system.signal(rustix::process::Signal::TERM);
    canary::assert_absent("the log", &system.ended().await.1);
}

#[tokio::test]
async fn what_an_sts_refuses_is_access_denied_for_the_pod_and_explained_in_the_log() {
    let (data, sts) =
        (folder(), FakeSts::refusing("AccessDenied", "not authorized to perform: sts:TagSession").await);
    let system = system(data.path(), &sts).await;
    let refused = system.credentials(&system.token().await).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("AccessDeniedException")));
    system.signal(rustix::process::Signal::TERM);
    let (_, log) = system.ended().await;
    assert!(log.contains("sts:TagSession"), "{log}");
}
