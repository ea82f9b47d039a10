//! A fake EKS Auth: exchanges any token for made-up credentials after a set delay, throttles if told to, and counts.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use testkit::Allowance;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::machine::{self, LOAD_CORE};
use crate::moment;
use crate::process::{Ending, Process};
use crate::settings::UPSTREAM;
use crate::token::Noise;
use crate::wire;

const SIX_HOURS: u64 = 6 * 3600;
/// Makes the body of the agent's answer one of 1053 bytes.
const SESSION_TOKEN: usize = 880;

/// The fake as a process of its own, on the load's core.
pub(crate) struct Upstream(#[expect(dead_code, reason = "held for its Drop")] Process);

impl Upstream {
    /// Starts it.
    pub(crate) async fn start(work: &Path) -> Result<Self> {
        let mut command = machine::pinned(LOAD_CORE, std::env::current_exe()?);
        command.arg("upstream");
        let mut process = Process::spawn(command, &work.join("upstream.log"), Ending::Kill)?;
        for _ in 0..200 {
            process.alive()?;
            if TcpStream::connect(UPSTREAM).await.is_ok() {
                return Ok(Self(process));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the fake upstream does not listen")
    }

    /// From now on an exchange takes so long.
    pub(crate) async fn set_delay(&self, delay: Duration) -> Result<()> {
        let line = format!("PUT /delay/{}", delay.as_millis());
        wire::ask_once(UPSTREAM, &wire::plain_request(UPSTREAM, &line)).await.map(drop)
    }

    /// Exchanges asked for so far.
    pub(crate) async fn calls(&self) -> Result<u64> {
        let (_, body) = wire::ask_once(UPSTREAM, &wire::plain_request(UPSTREAM, "GET /calls")).await?;
        body.parse().context("the count is no number")
    }
}

struct Service {
    calls: AtomicU64,
    delay_ms: AtomicU64,
    allowance: Mutex<Option<Allowance>>,
    noise: Mutex<Noise>,
}

/// Serves until the parent process ends.
pub(crate) async fn serve(port: u16, delay: Duration) -> Result<()> {
    let listener = listen(port).context("the upstream cannot listen")?;
    let service = Arc::new(Service {
        calls: AtomicU64::new(0),
        delay_ms: AtomicU64::new(u64::try_from(delay.as_millis())?),
        allowance: Mutex::default(),
        noise: Mutex::new(Noise::new()?),
    });
    let parent = std::os::unix::process::parent_id();
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(connection(accepted?.0, Arc::clone(&service)));
            }
            Some(_) = connections.join_next() => {}
            _ = look.tick() => if std::os::unix::process::parent_id() != parent {
                return Ok(());
            }
        }
    }
}

/// With room for all connections of a burst: the usual room for 128 drops the others, and they come again after a second.
fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(4096)
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    if stream.set_nodelay(true).is_ok() {
        // The client's end of a connection is its own affair.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
        match (&parts.method, path.as_slice()) {
            (&Method::POST, ["clusters", _, "assume-role-for-pod-identity"]) => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                if !self.grants() {
                    return throttled();
                }
                let token = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                match self.exchange(&token) {
                    Some(credentials) => reply(StatusCode::OK, credentials.to_string()),
                    None => reply(StatusCode::BAD_REQUEST, r#"{"message":"not a token"}"#.into()),
                }
            }
            (&Method::GET, ["calls"]) => {
                reply(StatusCode::OK, self.calls.load(Ordering::Relaxed).to_string())
            }
            (&Method::PUT, ["delay", delay]) if delay.parse::<u64>().is_ok() => {
                self.delay_ms.store(delay.parse().unwrap_or_default(), Ordering::Relaxed);
                reply(StatusCode::OK, String::new())
            }
            (&Method::PUT, ["throttle", rate]) if rate.parse::<u32>().is_ok() => {
                let rate = rate.parse().unwrap_or_default();
                *lock(&self.allowance) = (rate > 0).then(|| Allowance::of(rate));
                reply(StatusCode::OK, String::new())
            }
            _ => reply(StatusCode::NOT_FOUND, r#"{"message":"no such resource"}"#.into()),
        }
    }

    fn grants(&self) -> bool {
        lock(&self.allowance).as_mut().is_none_or(Allowance::take)
    }

    fn exchange(&self, body: &[u8]) -> Option<Value> {
        let request: Value = serde_json::from_slice(body).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(request["token"].as_str()?.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let subject = &claims["kubernetes.io"];
        let mut noise = lock(&self.noise);
        let id = format!("a-{:017x}", noise.number());
        let session = format!("eks-bench-{:016x}", noise.number());
        Some(json!({
            "subject": { "namespace": subject["namespace"], "serviceAccount": subject["serviceaccount"]["name"] },
            "audience": "pods.eks.amazonaws.com",
            "podIdentityAssociation": {
                "associationArn": format!("arn:aws:eks:us-west-2:111122223333:podidentityassociation/bench/{id}"),
                "associationId": id,
            },
            "assumedRoleUser": {
                "arn": format!("arn:aws:sts::111122223333:assumed-role/bench/{session}"),
                "assumeRoleId": format!("AROAEXAMPLEEXAMPLE000:{session}"),
            },
            "credentials": {
                "sessionToken": noise.text(SESSION_TOKEN),
                "secretAccessKey": noise.text(40),
                "accessKeyId": format!("ASIA{:016X}", noise.number()),
                "expiration": moment::epoch_seconds() + SIX_HOURS,
            },
        }))
    }
}

/// What is behind these locks is whole after every statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn throttled() -> Response<Full<Bytes>> {
    let mut response = reply(StatusCode::TOO_MANY_REQUESTS, r#"{"message":"Rate exceeded"}"#.into());
    response.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static("ThrottlingException"));
    response
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
