//! The commands that ask a running system for one thing: what they print.

use crate::command::{Associate, Dissociate, ServiceAccount, Token};
use crate::control::{AccessKeyReply, AssociateRequest, AssociationView, Client, ControlError, TokenRequest};
use crate::terminal::program;

/// `dev token`: the token, and what to note beside it.
pub(crate) async fn token(token: &Token, client: &Client) -> Result<(String, Option<String>), ControlError> {
    let Token { account: ServiceAccount { namespace, service_account }, pod, lifetime, .. } = token;
    let request = TokenRequest {
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        pod: pod.clone(),
        lifetime_seconds: lifetime.as_secs(),
    };
    let reply = client.token(&request).await?;
    let note = reply.role_arn.is_none().then(|| without_association(&token.account, client));
    Ok((reply.token.expose_str().to_owned(), note))
}

/// What to do about a service account that has no role, as a line to copy.
pub(crate) fn without_association(account: &ServiceAccount, client: &Client) -> String {
    let ServiceAccount { namespace, service_account } = account;
    format!(
        "{namespace}/{service_account} has no association, so it gets no credentials; give it a role with\n  \
         {} dev associate{} --namespace {namespace} --service-account {service_account} --role-arn ROLE_ARN",
        program(),
        client.flag()
    )
}

/// `dev associate`.
pub(crate) async fn associate(asked: &Associate, client: &Client) -> Result<String, ControlError> {
    let request = AssociateRequest {
        target_role_arn: asked.target_role_arn.clone(),
        disable_session_tags: asked.disable_session_tags,
        ..AssociateRequest::new(asked.account.clone(), asked.role_arn.clone())
    };
    Ok(client.associate(&request).await?.to_string())
}

/// `dev associations`: a line each, for people and for `grep`.
pub(crate) async fn associations(client: &Client) -> Result<String, ControlError> {
    let all = client.associations().await?.associations;
    if all.is_empty() {
        return Ok(format!(
            "no service account has a role: {} dev associate{} gives it one",
            program(),
            client.flag()
        ));
    }
    let accounts: Vec<String> =
        all.iter().map(|one| format!("{}/{}", one.namespace, one.service_account)).collect();
    let width = accounts.iter().map(String::len).max().unwrap_or_default();
    let lines = all.iter().zip(&accounts).map(|(one, account)| line(one, account, width));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn line(one: &AssociationView, account: &str, width: usize) -> String {
    let target = one.target_role_arn.as_ref().map(|target| format!(" then {target}")).unwrap_or_default();
    let tags = if one.disable_session_tags { " without session tags" } else { "" };
    format!("{}  {account:width$}  {}{target}{tags}", one.association_id, one.role_arn)
}

/// `dev dissociate`.
pub(crate) async fn dissociate(asked: &Dissociate, client: &Client) -> Result<String, ControlError> {
    let gone = client.dissociate(&asked.account).await?;
    let AssociationView { association_id, namespace, service_account, role_arn, .. } = gone;
    Ok(format!("{association_id}: {namespace}/{service_account} no longer has {role_arn}"))
}

/// `dev keys`: lines for a shell's `eval`.
pub(crate) async fn keys(client: &Client) -> Result<String, ControlError> {
    let api = client.status().await?.api;
    let AccessKeyReply { access_key_id, secret_access_key } = client.access_key().await?;
    Ok(format!(
        "# signs calls to EKS Auth and EKS at {api}, and nothing at AWS\n\
         export AWS_ACCESS_KEY_ID={access_key_id}\nexport AWS_SECRET_ACCESS_KEY={}",
        secret_access_key.expose_str()
    ))
}
