//! What the agent itself meets on its way to EKS Auth.

use std::time::Duration;

use testkit::authority::Authority;
use testkit::eks_auth_server::{EksAuthServer, Reply};

use crate::examination::{Examined, Node, Pod, agent, doctor, initialize};

pub(crate) async fn the_agent_has_no_credentials() -> Examined {
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let _node = Node::with(Reply::error(403, "UnrecognizedClientException", "no"), &[], &none).await;
    let pod = Pod::start(&[]).await;
    pod.examined().await
}

pub(crate) async fn the_agents_keys_are_unknown() -> Examined {
    let reply = Reply::error(
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    let _node = Node::with(reply, &[], &[]).await;
    let pod = Pod::start(&[]).await;
    pod.examined().await
}

pub(crate) async fn the_agent_may_not_exchange_tokens() -> Examined {
    let message = "User: arn:aws:sts::111122223333:assumed-role/node/i-1 is not authorized to perform: \
                   eks-auth:AssumeRoleForPodIdentity on resource: arn:aws:eks:us-west-2:111122223333:cluster/dev";
    let _node = Node::with(Reply::error(400, "AccessDeniedException", message), &[], &[]).await;
    let examined = doctor(&[]).await;
    examined.says("eks-auth-not-allowed", "AmazonEKSWorkerNodePolicy");
    examined
}

pub(crate) async fn the_cluster_is_unknown() -> Examined {
    let _node = Node::with(
        Reply::error(404, "ResourceNotFoundException", "No cluster found for name: dev."),
        &[],
        &[],
    )
    .await;
    doctor(&[]).await
}

#[expect(clippy::disallowed_methods, reason = "doctor lives by the real clock")]
pub(crate) async fn the_clock_is_ten_minutes_off() -> Examined {
    let then = std::time::SystemTime::now() - Duration::from_secs(600);
    let date = std::process::Command::new("date")
        .env("LC_ALL", "C")
        .args(["--utc", "--date", &identity::to_rfc3339(then), "+%a, %d %b %Y %H:%M:%S GMT"])
        .output()
        .unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    let headers = format!("x-amzn-ErrorType: InvalidTokenException\r\nDate: {}\r\n", date.trim());
    let _node = Node::with(Reply::Raw(400, headers, "{\"message\":\"no\"}".to_owned()), &[], &[]).await;
    let examined = doctor(&[]).await;
    examined.says("clock-skew", "s ahead of that of EKS Auth");
    examined
}

pub(crate) async fn the_region_is_missing() -> Examined {
    initialize().await;
    let _agent = agent(None, &[], &[("AWS_REGION", "")]).await;
    let pod = Pod::start(&[]).await;
    pod.examined().await
}

pub(crate) async fn the_name_of_eks_auth_leads_nowhere() -> Examined {
    initialize().await;
    let _agent = agent(Some("https://eks-auth.us-west-2.invalid"), &[], &[]).await;
    let pod = Pod::start(&[]).await;
    pod.examined().await
}

pub(crate) async fn eks_auth_takes_no_connections() -> Examined {
    let mut node = Node::healthy().await;
    node.upstream.die().await;
    doctor(&[]).await
}

pub(crate) async fn the_authority_of_eks_auth_is_unknown() -> Examined {
    initialize().await;
    let upstream = EksAuthServer::start_tls(&Authority::new(), Reply::Issue(Duration::ZERO)).await;
    let other = Authority::new();
    let _agent = agent(Some(&upstream.url()), &[], &[("AWS_CA_BUNDLE", other.bundle())]).await;
    doctor(&[]).await
}

pub(crate) async fn the_proxy_of_the_agent_is_dead() -> Examined {
    initialize().await;
    let proxy = [("HTTPS_PROXY", "http://user:C4n4ryS3cr3t@127.0.0.1:9")];
    let _agent = agent(Some("https://eks-auth.us-west-2.invalid"), &[], &proxy).await;
    let examined = doctor(&[]).await;
    examined.says("eks-auth-proxy", "the proxy 127.0.0.1:9 ");
    examined
}

pub(crate) async fn something_else_answers_for_eks_auth() -> Examined {
    let _node = Node::with(Reply::Raw(200, String::new(), "<html>log in</html>".to_owned()), &[], &[]).await;
    doctor(&[]).await
}
