//! An upstream that follows a script, for the tests of every room above it.

use std::sync::Arc;

use eks_auth::{Exchange, ExchangeError};
use futures_util::future::BoxFuture;
use identity::ServiceAccountToken;
use runtime::Clock;
use testkit::Script;

use super::Upstream;

/// Answers by a script, at the time of a clock.
pub(crate) struct Scripted {
    pub(crate) script: Script,
    clock: Clock,
}

impl Scripted {
    pub(crate) fn new(script: Script, clock: Clock) -> Arc<Self> {
        Arc::new(Self { script, clock })
    }
}

impl Upstream for Scripted {
    fn exchange<'a>(
        &'a self,
        token: &'a ServiceAccountToken,
    ) -> BoxFuture<'a, Result<Exchange, ExchangeError>> {
        Box::pin(self.script.play(token, || self.clock.now()))
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn own_credentials(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("a script needs none".to_owned())))
    }
}
