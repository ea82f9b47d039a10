//! An EKS Auth behind a real socket that sends, byte for byte, what its script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use identity::to_epoch_seconds;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::script::{self, Allowance};
use crate::server::{Connection, Server, read_request};

/// What one call gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A well-formed answer with six hours' credentials, after so long.
    Issue(Duration),
    /// A whole HTTP answer: status, headers (one a line, may be empty), body.
    Raw(u16, String, String),
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// The connection is reset.
    Reset,
}

impl Reply {
    /// One of the API's errors.
    pub fn error(status: u16, name: &str, message: &str) -> Self {
        let headers = format!("x-amzn-ErrorType: {name}\r\nx-amzn-RequestId: request-1\r\n");
        Self::Raw(status, headers, json!({ "message": message }).to_string())
    }

    /// A 200 with this body.
    pub fn ok(body: &serde_json::Value) -> Self {
        Self::Raw(200, String::new(), body.to_string())
    }
}

/// The server. It stops when dropped.
pub struct EksAuthServer {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
    particular: Mutex<Vec<(String, Reply)>>,
    requests: Mutex<Vec<String>>,
    allowance: Mutex<Option<Allowance>>,
}

impl EksAuthServer {
    /// Answers `replies` in order, then `otherwise` for ever.
    pub async fn start(replies: impl IntoIterator<Item = Reply>, otherwise: Reply) -> Self {
        Self::start_with(replies, otherwise, None).await
    }

    /// The same behind TLS, with a certificate of `authority` for 127.0.0.1.
    pub async fn start_tls(authority: &Authority, otherwise: Reply) -> Self {
        Self::start_with([], otherwise, Some(authority.acceptor())).await
    }

    async fn start_with(
        replies: impl IntoIterator<Item = Reply>,
        otherwise: Reply,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let shared = Arc::new(Shared {
            replies: Mutex::new(replies.into_iter().collect()),
            otherwise: Mutex::new(otherwise),
            particular: Mutex::default(),
            requests: Mutex::default(),
            allowance: Mutex::default(),
        });
        let of_server = Arc::clone(&shared);
        let server = Server::start(tls, move |stream| converse(stream, Arc::clone(&of_server))).await;
        Self { server, shared }
    }

    /// Is gone, with all its connections, until [`Self::revive`].
    pub async fn die(&mut self) {
        self.server.die().await;
    }

    /// Is there again, where it was, as if nothing had been.
    pub async fn revive(&mut self) {
        self.server.revive().await;
    }

    /// From now on throttles calls beyond so many a second.
    pub fn throttle(&self, per_second: u32) {
        *self.shared.allowance.lock().unwrap() = Some(Allowance::of(per_second));
    }

    /// What the agent is given as `--endpoint`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on replies so.
    pub fn change(&self, reply: Reply) {
        self.shared.replies.lock().unwrap().clear();
        *self.shared.otherwise.lock().unwrap() = reply;
    }

    /// From now on replies so to requests with this token, whatever others get.
    pub fn reply_to(&self, token: &str, reply: Reply) {
        self.shared.particular.lock().unwrap().push((token.to_owned(), reply));
    }

    /// Each request so far: head and body as they came.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until somebody has called.
    pub async fn called(&self) {
        while self.count() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many calls came so far.
    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }
}

async fn converse(mut stream: Box<dyn Connection>, shared: Arc<Shared>) {
    while let Some(request) = read_request(&mut stream).await {
        let number = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(format!("{}\r\n\r\n{}", request.head, request.body));
            requests.len()
        };
        let granted = shared.allowance.lock().unwrap().as_mut().is_none_or(Allowance::take);
        let reply = match granted {
            true => shared.replies.lock().unwrap().pop_front(),
            false => Some(Reply::error(429, "ThrottlingException", "Rate exceeded")),
        };
        let particular = shared.particular.lock().unwrap().clone();
        let particular = particular.into_iter().find(|(token, _)| request.body.contains(token.as_str()));
        let reply = particular.map(|(_, reply)| reply).or(reply);
        let reply = reply.unwrap_or_else(|| shared.otherwise.lock().unwrap().clone());
        let (status, headers, body) = match reply {
            Reply::Issue(after) => {
                tokio::time::sleep(after).await;
                (200, String::new(), issued(number).to_string())
            }
            Reply::Raw(status, headers, body) => (status, headers, body),
            Reply::Bytes(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Silence => return std::future::pending().await,
            Reply::Reset => return stream.tcp().set_zero_linger().unwrap(),
        };
        let answer = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The body of a good answer, for call `number`.
pub fn issued(number: usize) -> serde_json::Value {
    #[expect(clippy::disallowed_methods, reason = "the real agent on the other end lives by the real clock")]
    let now = SystemTime::now();
    let exchange = script::exchange(number, now + Duration::from_secs(21_600));
    let credentials = &exchange.credentials;
    json!({
        "subject": { "namespace": exchange.namespace, "serviceAccount": exchange.service_account },
        "audience": exchange.audience,
        "podIdentityAssociation": {
            "associationArn": exchange.association_arn, "associationId": exchange.association_id
        },
        "assumedRoleUser": {
            "arn": exchange.assumed_role_user.arn.as_str(), "assumeRoleId": exchange.assumed_role_user.assume_role_id
        },
        "credentials": {
            "accessKeyId": credentials.access_key_id,
            "secretAccessKey": credentials.secret_access_key.expose_str(),
            "sessionToken": credentials.session_token.expose_str(),
            "expiration": to_epoch_seconds(credentials.expiration)
        }
    })
}
