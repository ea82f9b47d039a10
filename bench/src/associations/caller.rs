//! Calls as SDKs make them: signed with Signature Version 4, by AWS's own signer, before the clock of a measurement starts.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use crate::moment;

/// The operations on associations.
pub(super) const EKS: &str = "eks";
/// The exchange.
pub(super) const EKS_AUTH: &str = "eks-auth";

/// The region that `dev` is in unless told otherwise.
const REGION: &str = "us-west-2";

/// Whoever has a system's key pair.
pub(super) struct Caller {
    credentials: Credentials,
    host: String,
}

impl Caller {
    /// With the key pair that `dev keys` printed.
    pub(super) fn new(keys: &str, api: SocketAddr) -> Result<Self> {
        let value = |name: &str| {
            let line = keys.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name));
            line.and_then(|line| line.strip_prefix('=')).with_context(|| format!("dev keys prints no {name}"))
        };
        let (id, secret) = (value("AWS_ACCESS_KEY_ID")?, value("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self { credentials: Credentials::new(id, secret, None, None, "dev keys"), host: api.to_string() })
    }

    /// A whole request, signed now; good for five minutes.
    pub(super) fn request(&self, service: &str, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(service)
            .time(moment::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("host", self.host.as_str()), ("content-type", "application/json")];
        let signable =
            SignableRequest::new(method, path, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut head = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Ok(format!("{head}\r\n{body}").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_what_an_sdk_signs() {
        let keys = "# a remark\nexport AWS_ACCESS_KEY_ID=AKIA1\nexport AWS_SECRET_ACCESS_KEY=x/y=\n";
        let caller = Caller::new(keys, "127.0.0.1:1".parse().unwrap()).unwrap();
        let request = caller.request(EKS_AUTH, "POST", "/clusters/dev", "{}").unwrap();
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("POST /clusters/dev HTTP/1.1\r\ncontent-length: 2\r\n"), "{request}");
        assert!(
            request.contains("Credential=AKIA1/") && request.contains("/us-west-2/eks-auth/aws4_request")
        );
        assert!(request.ends_with("\r\n\r\n{}"));
        assert!(Caller::new("", "127.0.0.1:1".parse().unwrap()).is_err());
    }
}
