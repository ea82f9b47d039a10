//! How AWS is reached: TLS with which roots, through which proxy. For AWS calls only; pods, probes and the API server
//! are never reached this way.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use thiserror::Error;

/// Never reached through a proxy, whatever `NO_PROXY` says: these addresses mean something else on every machine.
const LOCAL_ADDRESSES: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// Connections kept for the next call, per host. A storm of exchanges opens more, which would each hold 80 KiB for a minute and
/// a half; renewals, a few a second, need one or two.
const MOST_IDLE_CONNECTIONS: usize = 8;

/// A setting of the transport that cannot be used.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The CA bundle cannot be read.
    #[error("the CA bundle {path} cannot be read: name a PEM file this process may read")]
    CaBundleUnreadable {
        /// The path that was given.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The CA bundle holds no certificate.
    #[error("the CA bundle {path} holds no certificate: it must be PEM, with BEGIN CERTIFICATE blocks")]
    CaBundleEmpty {
        /// The path that was given.
        path: String,
    },
    /// The proxy's address makes no sense. Its text is not repeated: it may hold a password.
    #[error("the proxy's address is not a URL such as http://proxy.example:3128")]
    Proxy,
}

/// What the environment says about reaching AWS, read once.
#[derive(Clone, Debug, Default)]
pub struct TransportSettings {
    /// Shared: bundles are hundreds of kilobytes, and settings are cloned freely.
    ca_bundle: Option<Arc<[u8]>>,
    proxy: Option<ProxyConfig>,
}

impl TransportSettings {
    /// What `AWS_CA_BUNDLE`, `HTTPS_PROXY` and `NO_PROXY` say (the last two in either case), as in AWS's other tools.
    /// `HTTP_PROXY` is not read: every call to AWS is TLS.
    ///
    /// # Errors
    /// Every variable that cannot be used, by name.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<(&'static str, TransportError)>> {
        let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
        let (mut settings, mut mistakes) = (Self::default(), Vec::new());
        if let Some(path) = variable("AWS_CA_BUNDLE") {
            match settings.clone().with_ca_bundle(&path) {
                Ok(changed) => settings = changed,
                Err(error) => mistakes.push(("AWS_CA_BUNDLE", error)),
            }
        }
        if let Some(proxy) = first(["HTTPS_PROXY", "https_proxy"]) {
            match settings.clone().with_proxy(&proxy, first(["NO_PROXY", "no_proxy"]).as_deref()) {
                Ok(changed) => settings = changed,
                Err(error) => mistakes.push(("HTTPS_PROXY", error)),
            }
        }
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    /// Reads `AWS_CA_BUNDLE` (which then replaces the system's roots, as in AWS's tools).
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn with_ca_bundle(mut self, path: &str) -> Result<Self, TransportError> {
        let pem = std::fs::read(path)
            .map_err(|source| TransportError::CaBundleUnreadable { path: path.to_owned(), source })?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(found) if !found.is_empty() => self.ca_bundle = Some(pem.into()),
            _ => return Err(TransportError::CaBundleEmpty { path: path.to_owned() }),
        }
        Ok(self)
    }

    /// Sends TLS traffic through `proxy` (`HTTPS_PROXY`), but for the destinations in `exceptions` (`NO_PROXY`).
    ///
    /// # Errors
    /// When the proxy's address is no URL.
    pub fn with_proxy(mut self, proxy: &str, exceptions: Option<&str>) -> Result<Self, TransportError> {
        let rules =
            exceptions.map_or(LOCAL_ADDRESSES.to_owned(), |rules| format!("{rules},{LOCAL_ADDRESSES}"));
        self.proxy = Some(ProxyConfig::https(proxy).map_err(|_| TransportError::Proxy)?.no_proxy(rules));
        Ok(self)
    }

    /// Makes connections for what is not asked through the SDK: connecting, and waiting for the beginning of an answer, may take
    /// this long each.
    pub fn connector(&self, patience: Duration) -> SharedHttpConnector {
        let limits =
            HttpConnectorSettings::builder().connect_timeout(patience).read_timeout(patience).build();
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        SharedHttpConnector::new(self.connector_with(Some(limits), Some(sleep)))
    }

    fn connector_with(
        &self,
        connector_settings: Option<HttpConnectorSettings>,
        sleep: Option<SharedAsyncSleep>,
    ) -> Connector {
        let mut builder = Connector::builder().pool_max_idle_per_host(MOST_IDLE_CONNECTIONS);
        builder.set_connector_settings(connector_settings);
        builder.set_sleep_impl(sleep);
        // No environment variable may slip in behind our back: what is not set here is off.
        builder.set_proxy_config(Some(self.proxy.clone().unwrap_or_else(ProxyConfig::disabled)));
        let mut roots = TrustStore::default();
        if let Some(pem) = &self.ca_bundle {
            roots = TrustStore::empty().with_pem_certificate(pem.to_vec());
        }
        let tls = TlsContext::builder().with_trust_store(roots).build().unwrap_or_default();
        builder.tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls).build()
    }
}

/// How long a public document may take to come.
const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// No document that is fetched comes near.
const LONGEST_DOCUMENT: usize = 1024 * 1024;

/// A public document could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Its address is none.
    #[error("{0} is not a URL")]
    NotAUrl(String),
    /// Nobody answers there, or not in time.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something else came.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// It is larger than anything we ask for.
    #[error("{0} answered with more than 1 MiB")]
    TooLong(String),
}

/// The HTTP client of every AWS call. Connections are kept and shared by its clones.
#[derive(Clone, Debug)]
pub struct Transport {
    client: SharedHttpClient,
    settings: TransportSettings,
}

impl Transport {
    /// A client with these settings. Roots are loaded when the first SDK client is made with it.
    pub fn new(settings: TransportSettings) -> Self {
        let connect = settings.clone();
        let client = Builder::new().build_with_connector_fn(move |connector_settings, components| {
            connect.connector_with(
                connector_settings.cloned(),
                components.and_then(|components| components.sleep_impl()),
            )
        });
        Self { client, settings }
    }

    /// Fetches a public document, such as an issuer's keys. Nothing is kept of the connection: this is rare.
    ///
    /// # Errors
    /// When it does not come whole within five seconds, or has more than 1 MiB.
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let unreachable =
            |source: Box<dyn Error + Send + Sync>| FetchError::Unreachable { url: url.to_owned(), source };
        let request = HttpRequest::get(url).map_err(|_| FetchError::NotAUrl(url.to_owned()))?;
        let connector = self.settings.connector(FETCH_PATIENCE);
        let whole = async {
            let response = connector.call(request).await.map_err(|error| unreachable(error.into()))?;
            let status = response.status();
            if !status.is_success() {
                return Err(FetchError::Status { url: url.to_owned(), status: status.as_u16() });
            }
            let body = Limited::new(response.into_body(), LONGEST_DOCUMENT).collect().await;
            match body {
                Ok(body) => Ok(body.to_bytes().to_vec()),
                Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong(url.to_owned())),
                Err(error) => Err(unreachable(error)),
            }
        };
        match tokio::time::timeout(FETCH_PATIENCE, whole).await {
            Ok(fetched) => fetched,
            Err(elapsed) => Err(unreachable(elapsed.into())),
        }
    }

    /// The client as the SDK wants it.
    pub fn http_client(&self) -> SharedHttpClient {
        self.client.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_bundle_that_is_none_says_so_before_the_first_call() {
        let missing = TransportSettings::default().with_ca_bundle("/nonexistent.pem").unwrap_err();
        assert!(missing.to_string().contains("/nonexistent.pem cannot be read"), "{missing}");
        let empty = TransportSettings::default().with_ca_bundle("/dev/null").unwrap_err();
        assert!(empty.to_string().contains("holds no certificate"), "{empty}");
    }

    #[test]
    fn a_proxy_that_is_no_url_is_refused_without_repeating_it() {
        let error =
            TransportSettings::default().with_proxy("http://user:hunter2@ not a host", None).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(
            TransportSettings::default()
                .with_proxy("http://127.0.0.1:3128", Some("internal.example"))
                .is_ok()
        );
    }
}
