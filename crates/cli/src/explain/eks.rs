//! The association at EKS, looked up as the AWS CLI would: with the user's own region and credentials, and whatever endpoint the
//! environment names.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_eks::Client;
use aws_sdk_eks::types::PodIdentityAssociation;
use eks_auth::{Transport, TransportSettings};
use identity::ClusterName;
use runtime::Environment;
use runtime::log::with_causes;
use tokio::time::timeout;

use super::association::{Known, found};
use crate::command::ServiceAccount;
use crate::control::{AssociationView, Status};

/// Two calls, each tried again.
const PATIENCE: Duration = Duration::from_secs(15);

/// The association of this service account in that cluster.
pub(super) async fn find(
    cluster: &ClusterName,
    account: &ServiceAccount,
    environment: &impl Environment,
) -> Known {
    match timeout(PATIENCE, look_up(cluster, account, environment)).await {
        Ok(Ok(known)) => known,
        Ok(Err(reason)) => Known::Unknown(format!("EKS does not tell: {reason}")),
        Err(_) => Known::Unknown(format!("EKS does not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn look_up(
    cluster: &ClusterName,
    account: &ServiceAccount,
    environment: &impl Environment,
) -> Result<Known, String> {
    let settings = TransportSettings::from_environment(|name| environment.get(name)).map_err(|mistakes| {
        mistakes.iter().map(|(name, error)| format!("{name}: {error}")).collect::<Vec<_>>().join("; ")
    })?;
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        // Given, so that it is not read from the environment, where a value that makes no sense would be a panic.
        .retry_config(RetryConfig::standard())
        .http_client(Transport::new(settings).http_client())
        .load()
        .await;
    let Some(region) = sdk.region().map(ToString::to_string) else {
        return Err("no region is known; set AWS_REGION".to_owned());
    };
    let client = Client::new(&sdk);
    let listed = client
        .list_pod_identity_associations()
        .cluster_name(cluster.as_str())
        .namespace(&account.namespace)
        .service_account(&account.service_account)
        .send()
        .await
        .map_err(|error| with_causes(&error))?;
    let Some(id) = listed.associations().iter().find_map(|one| one.association_id()) else {
        return Ok(Known::None);
    };
    let described = client
        .describe_pod_identity_association()
        .cluster_name(cluster.as_str())
        .association_id(id)
        .send()
        .await
        .map_err(|error| with_causes(&error))?;
    let one = described.association().ok_or("it describes nothing")?;
    let status = status(cluster, region, one)?;
    Ok(Known::Found(found(&view(account, one)?, &status)))
}

fn view(account: &ServiceAccount, one: &PodIdentityAssociation) -> Result<AssociationView, String> {
    let role = |arn: &str| arn.parse().map_err(|error| format!("{arn} is no role: {error}"));
    let id = one.association_id().unwrap_or_default();
    Ok(AssociationView {
        association_id: id.parse().map_err(|error| format!("{id} is no association: {error}"))?,
        namespace: account.namespace.clone(),
        service_account: account.service_account.clone(),
        role_arn: role(one.role_arn().unwrap_or_default())?,
        target_role_arn: one.target_role_arn().map(role).transpose()?,
        disable_session_tags: one.disable_session_tags().unwrap_or_default(),
    })
}

/// Region, account and cluster, as an external id names them.
fn status(cluster: &ClusterName, region: String, one: &PodIdentityAssociation) -> Result<Status, String> {
    let arn = one.association_arn().unwrap_or_default();
    let owner = arn.split(':').nth(4).unwrap_or_default();
    Ok(Status {
        cluster: cluster.to_string(),
        account: owner.parse().map_err(|_| format!("{arn} names no account"))?,
        region,
        credentials_uri: String::new(),
        api: String::new(),
    })
}
