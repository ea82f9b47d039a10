//! What pods reach: `GET /v1/credentials`. A request is a shape, a token, and, where nothing is known of the token yet, a
//! seat and an exchange, in this order; each step may refuse, and every refusal is an answer.

mod arrival;
mod hosts;
mod metrics;
mod request;
mod response;
mod shares;
mod source;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use identity::ServiceAccountToken;
use runtime::{Clock, Handler, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use crate::audit::AuditLog;
use crate::pods::Pods;
use crate::refusal::Refusal;
use crate::session::{Answer, Known, SessionId, Sessions, Source};
use crate::verification::Verification;
use arrival::Arrival;
pub use hosts::OurHosts;
pub use metrics::EndpointMetrics;
pub use shares::Rates;
use shares::Shares;
pub use source::SourceCheck;
use source::Sources;

/// Where credentials are, on AWS's agent and on ours.
pub const CREDENTIALS_PATH: &str = "/v1/credentials";

/// SDKs that keep a connection ask again within this, if they are busy; who stops then must not cost them a request.
const LINGER: Duration = Duration::from_secs(5);

/// What the pods' listeners grant, but for what settings change: heads of 16 KiB within 2 s.
pub fn limits() -> Limits {
    Limits {
        refusal: response::on_the_wire(&Refusal::TooManyConnections),
        head_too_slow: response::on_the_wire(&Refusal::RequestTooSlow),
        linger: LINGER,
        ..Limits::default()
    }
}

/// What the endpoint needs to know beside the sessions.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The audiences of which a token needs one.
    pub audiences: Vec<String>,
    /// How many requests may wait for an exchange at once.
    pub max_requests: usize,
    /// The addresses a request may be for.
    pub hosts: OurHosts,
    /// What one source of requests may do.
    pub rates: Rates,
    /// How strictly the source of a request is looked at.
    pub source_check: SourceCheck,
}

/// Answers pods. Clones share everything.
#[derive(Clone)]
pub struct Endpoint(Arc<Shared>);

struct Shared {
    sessions: Sessions,
    verification: Verification,
    clock: Clock,
    rules: Rules,
    shares: Shares,
    sources: Sources,
    seats: Arc<Semaphore>,
    metrics: EndpointMetrics,
    audit: Option<AuditLog>,
}

impl Endpoint {
    /// An endpoint over these sessions.
    pub fn new(
        sessions: Sessions,
        verification: Verification,
        pods: Pods,
        clock: Clock,
        rules: Rules,
        metrics: EndpointMetrics,
        audit: Option<AuditLog>,
    ) -> Self {
        let seats = Arc::new(Semaphore::new(rules.max_requests));
        let shares = Shares::new(rules.rates, rules.hosts.addresses());
        let sources = Sources::new(rules.source_check, pods);
        metrics.watch_seats(&seats, rules.max_requests);
        Self(Arc::new(Shared {
            sessions,
            verification,
            clock,
            rules,
            shares,
            sources,
            seats,
            metrics,
            audit,
        }))
    }

    /// Answers what can be answered at once, which is almost everything; otherwise hands back the work that is left.
    fn begin<B: Body>(&self, request: &Request<B>, peer: SocketAddr) -> Result<Answer, Unanswered> {
        let token = request::token(request, &self.0.rules.hosts)?;
        self.0.shares.take_request(peer, token)?;
        if self.0.sources.is_on() {
            // Before the look-up: a token that was carried away opens nothing, also while its session lives.
            self.0.sources.check(request::parse(token)?.claims(), peer.ip())?;
        }
        match self.0.sessions.look_up(token) {
            Known::Answer(answer) => Ok(answer),
            Known::Ageing(answer, id) => match self.seat() {
                Ok(seat) => Err(Unanswered::Ageing(answer, id, seat)),
                Err(_) => Ok(answer),
            },
            Known::Refused(refusal) => Err(refusal.into()),
            Known::Nothing => {
                let seat = self.seat()?;
                let token = request::parse(token)?;
                let claims = token.claims();
                claims.check(self.0.clock.now(), &self.0.rules.audiences).map_err(Refusal::from)?;
                self.0.shares.take_exchange(peer, claims.pod_uid().unwrap_or_default())?;
                Err(Unanswered::NewToken(Box::new(token), seat))
            }
        }
    }

    /// Only who has to wait needs a seat: everybody else is answered before the next request is read.
    fn seat(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.0.seats).try_acquire_owned().map_err(|_| Refusal::TooBusy)
    }

    /// Does the work that is left of a request, holding its seat.
    async fn finish(&self, unanswered: Unanswered) -> Result<(Answer, Source), Refusal> {
        match unanswered {
            Unanswered::Refused(refusal) => Err(refusal),
            Unanswered::Ageing(answer, id, _seat) => {
                Ok((self.0.sessions.newer(answer, id).await, Source::Session))
            }
            Unanswered::NewToken(token, _seat) => {
                let owner = self.0.verification.owner(&token).await?;
                self.0.sessions.obtain(*token, owner).await
            }
        }
    }

    /// The answer, told to whoever wants to know.
    fn respond(
        &self,
        outcome: Result<(Answer, Source), Refusal>,
        arrival: &Arrival,
    ) -> Response<Full<Bytes>> {
        let (took, now) = (arrival.at.elapsed(), self.0.clock.now());
        let status = outcome.as_ref().err().map_or(StatusCode::OK, response::status);
        match &outcome {
            Ok((answer, source)) => self.0.metrics.issued(*source, took, answer.remaining(now)),
            Err(refusal) => self.0.metrics.refused(status, took, refusal),
        }
        if let Some(audit) = &self.0.audit {
            arrival.audit(audit, now, status, &outcome);
        }
        debug!(
            target: "access", client_addr = %arrival.peer, status = status.as_u16(),
            outcome = outcome.as_ref().err().map_or("credentials", Refusal::code),
            request_time_ms = took.as_secs_f64() * 1e3, "answered"
        );
        match outcome {
            Ok((answer, _)) => response::credentials(answer.body),
            Err(refusal) => response::refusal(&refusal),
        }
    }
}

/// Why a request is not answered yet.
enum Unanswered {
    /// It will be refused.
    Refused(Refusal),
    /// A newer answer may be had.
    Ageing(Answer, SessionId, OwnedSemaphorePermit),
    /// Its token has to be exchanged; the seat is kept until then.
    NewToken(Box<ServiceAccountToken>, OwnedSemaphorePermit),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Handler for Endpoint {
    type Answer = Either<Ready<Response<Full<Bytes>>>, BoxFuture<'static, Response<Full<Bytes>>>>;

    fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Self::Answer {
        let arrival = Arrival::of(&request, peer, self.0.audit.is_some());
        match self.begin(&request, peer) {
            Ok(answer) => Either::Left(ready(self.respond(Ok((answer, Source::Session)), &arrival))),
            Err(Unanswered::Refused(refusal)) => Either::Left(ready(self.respond(Err(refusal), &arrival))),
            Err(unanswered) => {
                let endpoint = self.clone();
                Either::Right(Box::pin(async move {
                    let outcome = endpoint.finish(unanswered).await;
                    endpoint.respond(outcome, &arrival)
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
