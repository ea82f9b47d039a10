//! What else an agent finds on a node: a proxy, and the instance metadata service of EC2.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;

use crate::canary;
use crate::server::{Connection, Server, read_request};

/// A server on loopback that answers each request by its first line. It stops when dropped.
pub struct Neighbour {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Neighbour {
    /// A proxy that lets nothing through and remembers where one wanted to go.
    pub async fn proxy() -> Self {
        Self::start(|_| (502, String::new())).await
    }

    /// An instance metadata service of an instance in us-west-2 with a role.
    pub async fn instance_metadata() -> Self {
        Self::start(|line| {
            let path = line.split(' ').nth(1).unwrap_or_default();
            let body = match path {
                "/latest/api/token" => "a-session-of-the-metadata-service".to_owned(),
                "/latest/meta-data/placement/region" => "us-west-2".to_owned(),
                "/latest/user-data" => {
                    "apiVersion: node.eks.aws/v1alpha1\nspec:\n  cluster:\n    name: of-the-instance\n"
                        .to_owned()
                }
                "/latest/meta-data/instance-id" => "i-0123456789abcdef0".to_owned(),
                "/latest/meta-data/placement/availability-zone-id" => "usw2-az1".to_owned(),
                path if path.trim_end_matches('/').ends_with("security-credentials")
                    || path.trim_end_matches('/').ends_with("security-credentials-extended") =>
                {
                    "node-role".to_owned()
                }
                path if path.ends_with("/node-role") => format!(
                    "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"LastUpdated\":\"2026-11-22T00:00:00Z\",\
                     \"AccessKeyId\":\"ASIAOFTHENODE0000000\",\"SecretAccessKey\":\"{0}\",\"Token\":\"{0}\",\
                     \"Expiration\":\"2099-01-01T00:00:00Z\",\"AccountId\":\"111122223333\"}}",
                    canary::MARKER
                ),
                _ => return (404, String::new()),
            };
            (200, body)
        })
        .await
    }

    async fn start(answer: impl Fn(&str) -> (u16, String) + Copy + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_server = Arc::clone(&asked);
        let server =
            Server::start(None, move |stream| converse(stream, Arc::clone(&of_server), answer)).await;
        Self { server, asked }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Is gone until [`Self::revive`].
    pub async fn die(&mut self) {
        self.server.die().await;
    }

    /// Is there again, where it was.
    pub async fn revive(&mut self) {
        self.server.revive().await;
    }

    /// The first line of each request so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn converse(
    mut stream: Box<dyn Connection>,
    asked: Arc<Mutex<Vec<String>>>,
    answer: impl Fn(&str) -> (u16, String),
) {
    while let Some(request) = read_request(&mut stream).await {
        asked.lock().unwrap().push(request.line().to_owned());
        let (status, body) = answer(request.line());
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: text/plain\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}
