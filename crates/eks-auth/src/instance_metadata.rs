//! The instance metadata service of EC2: what a node can find out about itself. Never asked through a proxy.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use thiserror::Error;

use crate::cause::causes;
use crate::{Transport, TransportSettings};

/// How long connecting may take, and how long an answer; both twice at most. It is on the node itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// It does not answer as it should: there is none, as on machines that are no EC2 instances, or it is out of this process's reach.
#[derive(Debug, Error)]
#[error("the instance metadata service cannot be asked: {0}")]
pub struct InstanceMetadataError(String);

/// A client of it. It keeps the session's token that the service wants.
#[derive(Clone, Debug)]
pub struct InstanceMetadata {
    client: Client,
}

impl InstanceMetadata {
    /// A client; asks when it is asked.
    pub fn new(transport: &TransportSettings) -> Self {
        Self::over(&Transport::new(transport.clone()))
    }

    pub(crate) fn over(transport: &Transport) -> Self {
        let config = ProviderConfig::without_region().with_http_client(transport.http_client());
        let client = Client::builder()
            .configure(&config)
            .max_attempts(2)
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .build();
        Self { client }
    }

    /// What it has at this path; `None` if that is nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn get(&self, path: &str) -> Result<Option<String>, InstanceMetadataError> {
        match self.client.get(path).await {
            Ok(text) => Ok(Some(text.into())),
            Err(ImdsError::ErrorResponse(response)) if response.response().status().as_u16() == 404 => {
                Ok(None)
            }
            Err(error) => Err(InstanceMetadataError(causes(&error))),
        }
    }
}
