//! `AssumeRoleForPodIdentity`: who calls, what is asked, and the service's answer.

use eks_auth::{AssumeRoleRequest, AssumeRoleResponse, ErrorCode, Refusal};
use http::request::Parts;
use identity::ClusterName;
use serde_json::error::Category;

use super::Rooms;
use super::answer::{Answer, ApiError};

pub(super) async fn answer(
    rooms: &Rooms,
    head: &Parts,
    body: &[u8],
    cluster: &str,
) -> Result<Answer, ApiError> {
    let now = rooms.clock.now();
    // Before anything is read: whoever is not known learns nothing of what is wrong with the rest.
    rooms.signatures.check(head, body, now)?;
    let cluster: ClusterName = cluster.parse().map_err(|error| {
        Refusal::new(ErrorCode::InvalidParameter, format!("clusterName in the path: {error}."))
    })?;
    let request = read(body)?;
    let exchange = rooms.service.exchange(cluster.as_str(), request.token.expose(), now).await?;
    Ok(Answer::result(&AssumeRoleResponse::from(&exchange)))
}

/// Reads the body. What serde would say is not repeated: it quotes what it does not understand, which may be a token.
fn read(body: &[u8]) -> Result<AssumeRoleRequest, Refusal> {
    let request: AssumeRoleRequest = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Refusal::new(
            ErrorCode::InvalidParameter,
            "The body must be a JSON object with the service account token as a string in its member token; \
             eksNodeName, instanceId and zone are strings too where they are given.",
        ),
        Category::Syntax | Category::Eof | Category::Io => {
            let (line, column) = (error.line(), error.column());
            let text = format!("The body is no JSON from line {line} column {column} on: send {{\"token\": \"…\"}}.");
            Refusal::new(ErrorCode::InvalidRequest, text)
        }
    })?;
    if request.token.expose().is_empty() {
        let text = "The member token must not be empty: send the content of the service account token file.";
        return Err(Refusal::new(ErrorCode::InvalidParameter, text));
    }
    Ok(request)
}
