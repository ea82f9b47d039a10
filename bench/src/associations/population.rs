//! The associations of a system: making so many of them, and finding out what they are called.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::EKS;
use super::calls;
use super::system::System;

/// The associations of the cluster that `dev` is unless told otherwise.
pub(super) const PATH: &str = "/clusters/dev/pod-identity-associations";

/// How many connections fill a system. More would not help: changes are made one after the other.
const FILLING: usize = 8;
/// Requests that are signed at once: a signature is good for five minutes.
const BATCH: usize = 1_000;
/// Service accounts of a namespace.
const OF_A_NAMESPACE: usize = 50;

/// The namespace and service account of that number; names sort as numbers do.
pub(super) fn names(number: usize) -> (String, String) {
    (format!("team-{:03}", number / OF_A_NAMESPACE), format!("app-{number:05}"))
}

/// The number whose turn it is, of so many, where each call is for another association: all of them, and no two neighbours in
/// a row.
pub(super) fn scattered(turn: usize, size: usize) -> usize {
    // A prime that divides no size.
    turn * 7_919 % size
}

/// A create as SDKs send it: with a name for the request, so that it may be sent again.
pub(super) fn create(system: &System, namespace: &str, service_account: &str) -> Result<Vec<u8>> {
    let body = json!({
        "namespace": namespace,
        "serviceAccount": service_account,
        "roleArn": format!("arn:aws:iam::111122223333:role/{service_account}"),
        "clientRequestToken": Uuid::new_v4().to_string(),
    });
    system.caller.request(EKS, "POST", PATH, &body.to_string())
}

/// Creates so many.
pub(super) async fn fill(system: &System, size: usize) -> Result<()> {
    let numbers: Vec<usize> = (0..size).collect();
    for batch in numbers.chunks(BATCH) {
        let requests = batch.iter().map(|number| {
            let (namespace, service_account) = names(*number);
            create(system, &namespace, &service_account)
        });
        calls::make(system, requests.collect::<Result<_>>()?, FILLING).await?.without_faults()?;
    }
    Ok(())
}

/// A list, of so many at most, from a token on.
pub(super) fn list(system: &System, longest: usize, token: Option<&str>) -> Result<Vec<u8>> {
    let next = token.map(|token| format!("&nextToken={token}")).unwrap_or_default();
    system.caller.request(EKS, "GET", &format!("{PATH}?maxResults={longest}{next}"), "")
}

/// Where the last page begins that one comes to by pages of so many, and the ids that were seen on the way.
pub(super) async fn last_page(
    system: &System,
    longest: usize,
    mut from: Option<String>,
) -> Result<(Option<String>, Vec<String>)> {
    let mut seen = Vec::new();
    loop {
        let asked = calls::make(system, vec![list(system, longest, from.as_deref())?], 1).await?;
        let bodies = asked.without_faults()?.bodies;
        seen.extend(ids(&bodies)?);
        let page: Value = serde_json::from_slice(bodies.first().context("no page")?)?;
        match page["nextToken"].as_str() {
            Some(next) => from = Some(next.to_owned()),
            None => return Ok((from, seen)),
        }
    }
}

/// The ids in answers that are of one association or of many.
pub(super) fn ids(bodies: &[Vec<u8>]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for body in bodies {
        let answer: Value = serde_json::from_slice(body).context("the answer is not JSON")?;
        let one = std::slice::from_ref(&answer["association"]);
        let associations = answer["associations"].as_array().map_or(one, Vec::as_slice);
        for association in associations {
            ids.push(association["associationId"].as_str().context("an association without id")?.to_owned());
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_do() {
        let all: Vec<_> = (0..20_000).map(names).collect();
        assert!(all.is_sorted());
        assert_eq!(all[19_999], ("team-399".to_owned(), "app-19999".to_owned()));
    }

    #[test]
    fn everybody_has_a_turn() {
        for size in super::super::growth::SIZES {
            let turns: std::collections::HashSet<_> = (0..size).map(|turn| scattered(turn, size)).collect();
            assert_eq!(turns.len(), size);
        }
    }

    #[test]
    fn ids_are_found_in_one_association_and_in_many() {
        let one = br#"{"association":{"associationId":"a-1"}}"#.to_vec();
        let many = br#"{"associations":[{"associationId":"a-2"},{"associationId":"a-3"}]}"#.to_vec();
        assert_eq!(ids(&[one, many]).unwrap(), ["a-1", "a-2", "a-3"]);
        assert!(ids(&[b"{}".to_vec()]).is_err());
    }
}
