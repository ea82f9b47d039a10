//! What the agent reaches: EKS Auth, and how fast it may be called.

mod measured;
mod pace;
#[cfg(test)]
pub(crate) mod scripted;

use std::sync::Arc;
use std::time::SystemTime;

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use eks_auth::{EksAuth, Exchange, ExchangeError, UpstreamSettings};
use futures_util::future::BoxFuture;
use identity::ServiceAccountToken;
use runtime::Clock;
use tokio::sync::OnceCell;

pub use measured::Measured;
pub use pace::{Pace, PaceMetrics, Turn, Urgency};

/// Exchanges tokens for credentials. One real implementation and the scripted one of tests.
pub trait Upstream: Send + Sync {
    /// Exchanges one token. Ends by itself within the time budget.
    fn exchange<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
    ) -> BoxFuture<'a, Result<Exchange, ExchangeError>>;

    /// Gets ready ahead of the first exchange: whatever can be looked up or loaded in advance.
    fn warm_up(&self) -> BoxFuture<'_, ()>;

    /// Whether the agent has credentials of its own to call with, or why not. Calls nobody but whoever gives them.
    fn own_credentials(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// EKS Auth through AWS's SDK. Connected on first use, so that listeners open before TLS roots are read.
pub struct EksAuthUpstream {
    settings: UpstreamSettings,
    clock: Clock,
    client: OnceCell<EksAuth>,
}

impl EksAuthUpstream {
    /// Nothing happens until somebody asks.
    pub fn new(settings: UpstreamSettings, clock: Clock) -> Arc<Self> {
        Arc::new(Self { settings, clock, client: OnceCell::new() })
    }

    async fn client(&self) -> Result<&EksAuth, ExchangeError> {
        let connect = || async {
            let clock = SharedTimeSource::new(SdkClock(self.clock));
            let client = EksAuth::connect(self.settings.clone(), clock).await;
            match client.region() {
                Some(_) => Ok(client),
                // Not kept: who tells it may not have been there yet, as on a node that has just started.
                None => Err(ExchangeError::Misconfigured(
                    "the region is not known: set AWS_REGION, or let the instance metadata service be asked"
                        .to_owned(),
                )),
            }
        };
        self.client.get_or_try_init(connect).await
    }
}

impl Upstream for EksAuthUpstream {
    fn exchange<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
    ) -> BoxFuture<'a, Result<Exchange, ExchangeError>> {
        Box::pin(async move { self.client().await?.exchange(token).await })
    }

    fn own_credentials(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let client = self.client().await.map_err(|error| error.to_string())?;
            client.own_credentials().await
        })
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Without a region, the first exchange tells so.
            let client = self.client().await.ok().filter(|_| self.settings.node.ask_instance_metadata);
            if let Some(client) = client {
                client.discover_instance().await;
            }
        })
    }
}

/// Our clock as the SDK wants it.
#[derive(Debug)]
pub struct SdkClock(pub Clock);

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}
