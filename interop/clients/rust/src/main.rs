//! Asks the default credential chain of aws-config for credentials, once at start and once per `again` on stdin.

use std::error::Error;
use std::io::{BufRead, stdin};

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::Builder;
use aws_smithy_types::date_time::{DateTime, Format};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config =
        aws_config::defaults(BehaviorVersion::latest()).http_client(Builder::new().build_http()).load().await;
    let chain = config.credentials_provider().ok_or("no credential chain")?;
    print(&chain).await?;
    for line in stdin().lock().lines() {
        match line?.as_str() {
            // The chain itself keeps nothing: the cache of this SDK sits in the service clients.
            "again" => print(&chain).await?,
            _ => break,
        }
    }
    Ok(())
}

async fn print(chain: &impl ProvideCredentials) -> Result<(), Box<dyn Error>> {
    let credentials = chain.provide_credentials().await?;
    let expiration = match credentials.expiry() {
        Some(at) => DateTime::from(at).fmt(Format::DateTime)?,
        None => String::new(),
    };
    println!(
        r#"{{"accessKeyId":"{}","hasSecret":{},"hasToken":{},"expiration":"{expiration}"}}"#,
        credentials.access_key_id(),
        !credentials.secret_access_key().is_empty(),
        credentials.session_token().is_some_and(|token| !token.is_empty()),
    );
    Ok(())
}
