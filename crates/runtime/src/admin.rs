//! What operators and kubelet ask of a process: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::listener::Handler;
use crate::log::{LogLevel, Verbosity};
use crate::readiness::Readiness;

/// Where the level of the log is.
pub(crate) const LOG_LEVEL_PATH: &str = "/log-level";

/// Answers the admin paths.
#[derive(Clone)]
pub struct Admin {
    readiness: Readiness,
    metrics: Option<Registry>,
    log_level: Option<LogLevel>,
}

impl Admin {
    /// Probes alone, for the probe port.
    pub fn probes(readiness: Readiness) -> Self {
        Self { readiness, metrics: None, log_level: None }
    }

    /// Probes and metrics.
    pub fn probes_and_metrics(readiness: Readiness, registry: Registry) -> Self {
        Self { readiness, metrics: Some(registry), log_level: None }
    }

    /// The same, and how much is logged: to be told and to be changed. For a socket that only the operator reaches.
    pub fn with_log_level(self, log_level: LogLevel) -> Self {
        Self { log_level: Some(log_level), ..self }
    }

    pub(crate) async fn answer(self, method: Method, path: String) -> Response<Full<Bytes>> {
        if let Some(log_level) = &self.log_level
            && let Some(wanted) = path.strip_prefix(LOG_LEVEL_PATH)
        {
            return level(log_level, &method, wanted.trim_start_matches('/'));
        }
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match path.as_str() {
            // That this line runs is the whole of liveness: a slow AWS is a metric, not a dead process.
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let missing = self.readiness.missing().await;
                if missing.is_empty() {
                    return text(StatusCode::OK, "ok\n");
                }
                let lines =
                    missing.iter().map(|missing| format!("{}: {}\n", missing.condition, missing.reason));
                text(StatusCode::SERVICE_UNAVAILABLE, lines.collect::<String>())
            }
            "/metrics" => self.metrics.map_or_else(not_here, |registry| scrape(&registry)),
            _ => not_here(),
        }
    }
}

impl Handler for Admin {
    type Answer = BoxFuture<'static, Response<Full<Bytes>>>;

    fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> Self::Answer {
        Box::pin(self.clone().answer(request.method().clone(), request.uri().path().to_owned()))
    }
}

fn level(log_level: &LogLevel, method: &Method, wanted: &str) -> Response<Full<Bytes>> {
    match (method, wanted.parse::<Verbosity>()) {
        (&Method::GET, _) if wanted.is_empty() => text(StatusCode::OK, format!("{}\n", log_level.get())),
        (&Method::PUT, Ok(verbosity)) => {
            let before = log_level.get();
            let tell = || tracing::info!(%before, now = %verbosity, "how much is logged is changed");
            // While that still is, or already is, logged.
            if verbosity < before {
                tell();
            }
            log_level.set(verbosity);
            if verbosity >= before {
                tell();
            }
            text(StatusCode::OK, format!("{verbosity}\n"))
        }
        (&Method::PUT, Err(error)) => text(StatusCode::BAD_REQUEST, format!("the level must be {error}\n")),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET tells the level, PUT /log-level/LEVEL changes it\n"),
    }
}

fn scrape(registry: &Registry) -> Response<Full<Bytes>> {
    let mut page = Vec::new();
    let encoder = TextEncoder::new();
    if encoder.encode(&registry.gather(), &mut page).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n");
    }
    let mut response = text(StatusCode::OK, page);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(prometheus::TEXT_FORMAT));
    response
}

fn not_here() -> Response<Full<Bytes>> {
    text(
        StatusCode::NOT_FOUND,
        "nothing is here; /healthz, /readyz and (on the metrics port) /metrics are answered\n",
    )
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
