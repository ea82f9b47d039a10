//! What else an agent finds on a node: a proxy, and the instance metadata service of EC2.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::canary;

/// A server on loopback that answers each request by its first line. It stops when dropped.
pub struct Neighbour {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_task = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, Arc::clone(&of_task), answer));
            }
        });
        Self { address, asked, task }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first line of each request so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, answer: impl Fn(&str) -> (u16, String)) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if !matches!(stream.read_line(&mut first).await, Ok(count) if count > 0) {
            return;
        }
        let mut line = first.clone();
        while line != "\r\n" {
            line.clear();
            if !matches!(stream.read_line(&mut line).await, Ok(count) if count > 0) {
                return;
            }
        }
        asked.lock().unwrap().push(first.trim_end().to_owned());
        let (status, body) = answer(&first);
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: text/plain\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.get_mut().write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}
