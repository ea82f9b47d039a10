//! What the agent meets in its cluster.

use std::time::Duration;

use testkit::SigningKey;
use testkit::authority::Authority;
use testkit::eks_auth_server::Reply;
use testkit::issuer_server::{IssuerServer, service_account_directory};
use testkit::signing::key_set;

use crate::examination::{Examined, Node, doctor};

/// An agent in a cluster whose API server is at this port of loopback, with these files of its service account.
pub(crate) async fn node_in_cluster(port: u16, files: &std::path::Path) -> Node {
    let port = port.to_string();
    let environment = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
    let arguments = ["--service-account-directory", files.to_str().unwrap()];
    Node::with(Reply::Issue(Duration::ZERO), &arguments, &environment).await
}

pub(crate) async fn the_api_server_is_unreachable() -> Examined {
    let files = service_account_directory(&Authority::new());
    // Nobody listens on the port of discarding.
    let _node = node_in_cluster(9, files.path()).await;
    doctor(&[]).await
}

pub(crate) async fn the_api_server_forbids_the_keys() -> Examined {
    let authority = Authority::new();
    let keys = key_set([&SigningKey::ec("k1")]);
    let server = IssuerServer::start_api_server(&authority, "https://issuer.example", keys).await;
    server.fail_with(403);
    let files = service_account_directory(&authority);
    let _node = node_in_cluster(server.address().port(), files.path()).await;
    doctor(&[]).await
}

pub(crate) async fn the_files_of_the_service_account_are_gone() -> Examined {
    let folder = tempfile::tempdir().unwrap();
    let _node = node_in_cluster(9, folder.path()).await;
    let examined = doctor(&[]).await;
    examined.says("api-server-files", folder.path().to_str().unwrap());
    examined
}

pub(crate) async fn the_signing_keys_are_stale() -> Examined {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set([&SigningKey::ec("k1")])).unwrap();
    let arguments = ["--jwks-file", file.to_str().unwrap(), "--signing-keys-refresh", "1s"];
    let node = Node::with(Reply::Issue(Duration::ZERO), &arguments, &[]).await;
    std::fs::remove_file(&file).unwrap();
    let overdue = async {
        while !doctor(&[]).await.is_bad() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(testkit::process::SOON, overdue).await.expect("the keys do not grow stale");
    let examined = doctor(&[]).await;
    drop(node);
    examined
}
