//! A certificate authority of one's own, as private clusters have them.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

/// Signs certificates for 127.0.0.1.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    bundle: NamedTempFile,
}

impl Authority {
    /// A new one that nobody trusts yet.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).unwrap();
        let bundle = NamedTempFile::new().unwrap();
        std::fs::write(bundle.path(), root.pem()).unwrap();
        Self { issuer: Issuer::new(parameters, key), bundle }
    }

    /// The file that `AWS_CA_BUNDLE` may name.
    pub fn bundle(&self) -> &str {
        self.bundle.path().to_str().unwrap()
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
