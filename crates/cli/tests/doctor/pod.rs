//! What is wrong with one pod on a healthy node.

use std::time::Duration;

use serde_json::json;
use testkit::TokenBuilder;
use testkit::canary;
use testkit::eks_auth_server::Reply;

use crate::examination::{Examined, Node, Pod};

async fn pod_with(changes: &[(&str, &str)]) -> Examined {
    let _node = Node::healthy().await;
    Pod::start(changes).await.examined().await
}

async fn pod_with_token(change: impl FnOnce(&Pod)) -> Examined {
    let node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    change(&pod);
    let examined = pod.examined().await;
    assert!(
        node.upstream.requests().iter().all(|request| !request.contains(canary::MARKER)),
        "a bad token was sent"
    );
    examined
}

pub(crate) async fn the_variables_are_missing() -> Examined {
    pod_with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")])
        .await
}

pub(crate) async fn static_keys_are_left_over() -> Examined {
    pod_with(&[("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", canary::MARKER)])
        .await
}

pub(crate) async fn a_profile_is_left_over() -> Examined {
    pod_with(&[("AWS_PROFILE", "work")]).await
}

pub(crate) async fn web_identity_is_left_over() -> Examined {
    let file = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    pod_with(&[("AWS_WEB_IDENTITY_TOKEN_FILE", file), ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/web")])
        .await
}

pub(crate) async fn the_uri_is_that_of_ecs() -> Examined {
    pod_with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.2/v2/credentials/1")]).await
}

pub(crate) async fn the_proxy_is_not_told_of_the_agent() -> Examined {
    let proxy = format!("http://user:{}@proxy.example:3128", canary::MARKER);
    pod_with(&[("HTTP_PROXY", proxy.as_str()), ("NO_PROXY", "localhost,.svc")]).await
}

pub(crate) async fn the_token_file_is_missing() -> Examined {
    pod_with_token(Pod::remove_token).await
}

pub(crate) async fn the_token_is_another_users() -> Examined {
    let _node = Node::healthy().await;
    let pod = Pod::start_as("65534", &[]).await;
    pod.protect_token();
    let examined = pod.examined().await;
    examined.says("pod-token-unreadable", "fsGroup");
    examined
}

pub(crate) async fn the_token_is_empty() -> Examined {
    pod_with_token(|pod| pod.write_token("")).await
}

pub(crate) async fn the_token_ends_with_a_newline() -> Examined {
    pod_with_token(|pod| pod.write_token(&format!("{}\n", TokenBuilder::made_now("web-0")))).await
}

#[expect(clippy::disallowed_methods, reason = "doctor lives by the real clock")]
fn made_an_hour_ago() -> TokenBuilder {
    TokenBuilder::of_pod("web-0", std::time::SystemTime::now() - Duration::from_secs(3_600))
}

pub(crate) async fn the_token_is_expired() -> Examined {
    pod_with_token(|pod| pod.write_token(&made_an_hour_ago().lasting(Duration::from_secs(600)).raw())).await
}

pub(crate) async fn the_token_is_for_another_audience() -> Examined {
    let token =
        made_an_hour_ago().lasting(Duration::from_secs(7_200)).claim("aud", json!(["sts.amazonaws.com"]));
    pod_with_token(|pod| pod.write_token(&token.raw())).await
}

/// EKS Auth knows nobody's token, and refuses the pod's for its own reason.
async fn pod_refused_with(status: u16, name: &str, message: &str) -> Examined {
    let node =
        Node::with(Reply::error(400, "InvalidTokenException", "The token cannot be verified"), &[], &[])
            .await;
    let pod = Pod::start(&[]).await;
    node.upstream.reply_to(&pod.token(), Reply::error(status, name, message));
    pod.examined().await
}

pub(crate) async fn there_is_no_association() -> Examined {
    let message = "No PodIdentityAssociation found for service account web in namespace shop.";
    pod_refused_with(404, "ResourceNotFoundException", message).await
}

pub(crate) async fn the_role_does_not_trust_eks() -> Examined {
    pod_refused_with(400, "AccessDeniedException", "Access denied when assuming role").await
}

pub(crate) async fn a_policy_keeps_the_pod_from_the_agent() -> Examined {
    let _node = Node::healthy().await;
    let pod = Pod::start(&[]).await;
    pod.shell(&["ip route add prohibit 169.254.170.23/32"]);
    pod.examined().await
}
