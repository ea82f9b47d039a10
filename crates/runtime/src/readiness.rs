//! Readiness as a list of named conditions, each asked when somebody asks. It can go false again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a listener of our own may take to answer us.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// Something that must hold for the process to be ready.
pub trait Condition: Send + Sync {
    /// What it is called in the answer.
    fn name(&self) -> String;

    /// Whether it holds now, or why not.
    fn holds(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// What a process needs to be ready. Clones share their state.
#[derive(Clone, Default)]
pub struct Readiness {
    conditions: Arc<[Arc<dyn Condition>]>,
    revoked: Arc<AtomicBool>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The condition's name.
    pub condition: String,
    /// Why it does not hold.
    pub reason: String,
}

impl Readiness {
    /// Ready when all of these hold.
    pub fn new(conditions: Vec<Arc<dyn Condition>>) -> Self {
        Self { conditions: conditions.into(), revoked: Arc::default() }
    }

    /// Unready from now on, whatever else holds: the process is about to stop.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Relaxed);
    }

    /// What is missing; empty when ready.
    pub async fn missing(&self) -> Vec<Missing> {
        if self.revoked.load(Ordering::Relaxed) {
            return vec![Missing { condition: "process".to_owned(), reason: "it is stopping".to_owned() }];
        }
        let asked = self.conditions.iter().map(async |condition| {
            let reason = condition.holds().await.err()?;
            Some(Missing { condition: condition.name(), reason })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// A listener of our own answers HTTP on its address. Dialled directly: no proxy setting can get in between.
#[derive(Clone, Copy, Debug)]
pub struct ListenerAnswers(pub SocketAddr);

impl Condition for ListenerAnswers {
    fn name(&self) -> String {
        format!("listener {}", self.0)
    }

    fn holds(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let dial = async {
                let mut stream = TcpStream::connect(reachable(self.0)).await?;
                let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.0);
                stream.write_all(request.as_bytes()).await?;
                let mut start = [0; 9];
                stream.read_exact(&mut start).await?;
                Ok::<_, std::io::Error>(start)
            };
            match tokio::time::timeout(DIAL_PATIENCE, dial).await {
                Ok(Ok(start)) if &start == b"HTTP/1.1 " => Ok(()),
                Ok(Ok(_)) => Err("something else than this process answers there".to_owned()),
                Ok(Err(error)) => Err(format!("it cannot be reached: {error}")),
                Err(_) => Err(format!("it does not answer within {DIAL_PATIENCE:?}")),
            }
        })
    }
}

/// A wildcard address is bound, but not dialled; its loopback address is.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port())
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<(), &'static str>);

    impl Condition for Fixed {
        fn name(&self) -> String {
            "fixed".to_owned()
        }

        fn holds(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { self.0.map_err(str::to_owned) })
        }
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_and_why() {
        let readiness = Readiness::new(vec![Arc::new(Fixed(Ok(()))), Arc::new(Fixed(Err("no luck")))]);
        let missing = readiness.missing().await;
        assert_eq!(missing, [Missing { condition: "fixed".into(), reason: "no luck".into() }]);
    }

    #[tokio::test]
    async fn a_process_that_stops_is_not_ready_whatever_holds() {
        let readiness = Readiness::new(vec![Arc::new(Fixed(Ok(())))]);
        assert!(readiness.missing().await.is_empty());
        readiness.revoke();
        assert_eq!(readiness.missing().await[0].reason, "it is stopping");
    }

    #[tokio::test]
    async fn a_closed_port_is_told_from_an_open_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(ListenerAnswers(address).holds().await.unwrap_err().contains("cannot be reached"));
    }
}
