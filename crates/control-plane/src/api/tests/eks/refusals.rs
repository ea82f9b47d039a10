//! Requests that are refused: under which name, with what text, and with the store as it was.

use super::*;

/// A create with these members over good ones.
fn with(members: Value) -> Value {
    let mut body = json!({ "namespace": "shop", "serviceAccount": "api", "roleArn": ROLE });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

#[tokio::test(start_paused = true)]
async fn members_that_are_wrong_are_named_with_what_to_send_instead() {
    let world = World::new();
    let many: serde_json::Map<_, _> = (0..51).map(|number| (format!("k{number}"), json!(""))).collect();
    for (members, wanted) in [
        (
            json!({ "namespace": null }),
            "namespace is missing: send the name of a Kubernetes namespace, as a string.",
        ),
        (
            json!({ "namespace": 7 }),
            "namespace must be the name of a Kubernetes namespace, as a string, not a number.",
        ),
        (json!({ "namespace": "x".repeat(64) }), "is no name of a namespace"),
        (json!({ "namespace": "*" }), "is no name of a namespace"),
        (json!({ "serviceAccount": "Web" }), "is no name of a service account"),
        (json!({ "serviceAccount": "x".repeat(254) }), "at most 253"),
        (json!({ "roleArn": ["x"] }), "roleArn must be the ARN of an IAM role, as a string, not a list."),
        (json!({ "roleArn": "web" }), "roleArn: \"web\" is not an ARN"),
        (json!({ "roleArn": "" }), "roleArn: \"\" is not an ARN"),
        (json!({ "roleArn": "arn:aws:iam::111122223333:user/web" }), "is not the ARN of an IAM role"),
        (json!({ "roleArn": "arn:aws:iam::444455556666:role/web" }), "send a role of the cluster's account"),
        (json!({ "targetRoleArn": "x" }), "targetRoleArn: \"x\" is not an ARN"),
        (json!({ "disableSessionTags": "true" }), "disableSessionTags must be true or false, not a string."),
        (json!({ "policy": "{}" }), "policy needs disableSessionTags to be true"),
        (json!({ "policy": "[]", "disableSessionTags": true }), "policy: its text is no JSON object"),
        (
            json!({ "policy": { "Version": "x" } }),
            "policy must be an IAM policy in JSON, or \"\" for none, as a string, not an object.",
        ),
        (
            json!({ "policy": " ".repeat(2_049), "disableSessionTags": true }),
            "2049 characters and may have 2048",
        ),
        (json!({ "tags": {} }), "tags: it has 0 tags: send 1 to 50."),
        (json!({ "tags": many }), "tags: it has 51 tags"),
        (json!({ "tags": { "": "x" } }), "a key of a tag has 1 to 128 characters"),
        (json!({ "tags": { "AWS:x": "x" } }), "begins with aws:"),
        (json!({ "tags": { "x": "y".repeat(257) } }), "longer than 256 characters"),
        (json!({ "tags": { "x": 1 } }), "each with a string as its value"),
        (json!({ "clientRequestToken": "x".repeat(257) }), "clientRequestToken: send 1 to 256 characters"),
    ] {
        let reply = world.eks("POST", ASSOCIATIONS, &with(members.clone())).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (400, "InvalidParameterException"), "{members}");
        assert!(text.contains(wanted), "{members}: {text}");
    }
    assert_eq!(everything(&*world.store).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn all_mistakes_are_said_in_one_answer() {
    let world = World::new();
    let reply = world.eks("POST", ASSOCIATIONS, &json!({ "roleArn": 1 })).await;
    let text = reply.refusal().2;
    for member in ["namespace is missing", "serviceAccount is missing", "roleArn must be"] {
        assert!(text.contains(member), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_json_objects_are_refused() {
    let world = World::new();
    for (body, wanted) in [
        ("{\"namespace\":", "no JSON from line 1 column 13 on"),
        ("namespace=shop", "no JSON from line 1"),
        ("[]", "a JSON object, not a list"),
        ("\"x\"", "a JSON object, not a string"),
        ("\u{0}", "no JSON"),
    ] {
        let head = world.signed_for("eks", "POST", ASSOCIATIONS, body);
        let reply = Reply::of(world.api.answer(&head, body.as_bytes()).await).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (400, "InvalidRequestException"));
        assert!(text.contains(wanted), "{text}");
    }
    let empty = world.eks("POST", ASSOCIATIONS, &Value::Null).await;
    assert_eq!(empty.refusal().1, "InvalidParameterException");
    assert_eq!(everything(&*world.store).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_second_association_of_a_service_account_is_refused_with_the_id_of_the_first() {
    let world = World::new();
    let first = world.create("shop", "web").await;
    let reply = world.eks("POST", ASSOCIATIONS, &with(json!({ "serviceAccount": "web" }))).await;
    let wanted = format!("Association already exists: {}", first["associationId"].as_str().unwrap());
    assert_eq!(reply.refusal(), (409, "ResourceInUseException", wanted.as_str()));
    assert_eq!(reply.body["clusterName"], "dev");
}

#[tokio::test(start_paused = true)]
async fn another_cluster_and_another_id_are_not_found() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    for (method, rest) in
        [("GET", ""), ("POST", "/pod-identity-associations"), ("GET", "/pod-identity-associations")]
    {
        let reply = world.eks(method, &format!("/clusters/prod{rest}"), &Value::Null).await;
        let (status, name, text) = reply.refusal();
        assert_eq!(
            (status, name, text),
            (404, "ResourceNotFoundException", "No cluster found for name: prod.")
        );
        assert_eq!(reply.body["clusterName"], "prod");
    }
    let elsewhere = path_of(&created).replace("/dev/", "/prod/");
    assert_eq!(world.eks("DELETE", &elsewhere, &Value::Null).await.status, 404);
    for id in ["a-8mvwvh57cu74mgcst", "web", "%00", "a-8MVWVH57CU74MGCST"] {
        for (method, body) in
            [("GET", Value::Null), ("DELETE", Value::Null), ("POST", json!({ "roleArn": ROLE }))]
        {
            let reply = world.eks(method, &format!("{ASSOCIATIONS}/{id}"), &body).await;
            let (status, name, text) = reply.refusal();
            assert_eq!((status, name), (404, "ResourceNotFoundException"), "{id}: {text}");
        }
    }
    assert_eq!(everything(&*world.store).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_of_nothing_and_a_policy_beside_session_tags_are_refused() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    for (body, wanted) in [
        (json!({}), "Nothing is to be changed"),
        (
            json!({ "namespace": "other", "clientRequestToken": "x" }),
            "delete the association and create a new one",
        ),
        (json!({ "policy": "{}" }), "policy needs disableSessionTags to be true"),
        (json!({ "roleArn": "" }), "roleArn: \"\" is not an ARN"),
        (json!({ "roleArn": "arn:aws:iam::444455556666:role/web" }), "send a role of the cluster's account"),
    ] {
        let reply = world.eks("POST", &path_of(&created), &body).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (400, "InvalidParameterException"), "{body}");
        assert!(text.contains(wanted), "{body}: {text}");
    }
    assert_eq!(world.done("GET", &path_of(&created), Value::Null).await["association"], created);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_with_another_request_is_refused() {
    let world = World::new();
    let body = with(json!({ "clientRequestToken": "one" }));
    world.done("POST", ASSOCIATIONS, body).await;
    let other = with(json!({ "clientRequestToken": "one", "tags": { "x": "y" } }));
    let reply = world.eks("POST", ASSOCIATIONS, &other).await;
    let (status, name, text) = reply.refusal();
    assert_eq!((status, name), (400, "InvalidParameterException"));
    assert!(text.contains("send a new token"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_says_that_it_is_full() {
    let world = World::of(Arc::new(MemoryStore::new().with_limit(1)), Clock::anchored(noon()));
    world.create("shop", "web").await;
    let reply = world.eks("POST", ASSOCIATIONS, &with(json!({}))).await;
    let (status, name, text) = reply.refusal();
    assert_eq!((status, name), (400, "ResourceLimitExceededException"));
    assert!(text.contains("has 1 associations, and that is the limit: delete some"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn queries_that_are_wrong_are_refused() {
    let world = World::new();
    for (query, wanted) in [
        ("maxResults=0", "maxResults: send a number from 1 to 100."),
        ("maxResults=101", "maxResults: send a number from 1 to 100."),
        ("maxResults=ten", "maxResults must be one whole number, not a string."),
        ("maxResults=1&maxResults=2", "maxResults must be one whole number, not a list."),
        ("namespace=", "namespace: send 1 to 253 characters"),
        ("nextToken=abc", "send the one of the page before"),
        ("nextToken=W10", "send the one of the page before"),
    ] {
        let reply = world.eks("GET", &format!("{ASSOCIATIONS}?{query}"), &Value::Null).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (400, "InvalidParameterException"), "{query}");
        assert!(text.contains(wanted), "{query}: {text}");
    }
    let reply = world.eks("GET", &format!("{ASSOCIATIONS}?namespace=%FF"), &Value::Null).await;
    assert_eq!(reply.refusal().1, "InvalidRequestException");
    let reply = world.eks("GET", "/clusters?nextToken=abc", &Value::Null).await;
    assert_eq!(reply.refusal().1, "InvalidParameterException");
}

#[tokio::test(start_paused = true)]
async fn calls_about_tags_have_names_of_their_own_for_what_is_wrong() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    let path = tags_of(&created);
    for (method, path, body, status, name, wanted) in [
        ("POST", path.clone(), json!({}), 400, "BadRequestException", "tags is missing"),
        (
            "POST",
            path.clone(),
            json!({ "tags": { "aws:x": "" } }),
            400,
            "BadRequestException",
            "begins with aws:",
        ),
        ("DELETE", path.clone(), Value::Null, 400, "BadRequestException", "tagKeys is missing"),
        (
            "DELETE",
            format!("{path}?tagKeys="),
            Value::Null,
            400,
            "BadRequestException",
            "1 to 128 characters",
        ),
        ("GET", "/tags/web".to_owned(), Value::Null, 400, "BadRequestException", "\"web\" is not an ARN"),
        (
            "GET",
            path.replace("dev", "prod"),
            Value::Null,
            404,
            "NotFoundException",
            "only associations have tags",
        ),
        (
            "GET",
            path.replace("us-west-2", "eu-west-1"),
            Value::Null,
            404,
            "NotFoundException",
            "no association",
        ),
        (
            "GET",
            "/tags/arn%3Aaws%3Aeks%3Aus-west-2%3A111122223333%3Acluster%2Fdev".to_owned(),
            Value::Null,
            404,
            "NotFoundException",
            "cluster/dev",
        ),
    ] {
        let reply = world.eks(method, &path, &body).await;
        let (got_status, got_name, text) = reply.refusal();
        assert_eq!((got_status, got_name), (status, name), "{method} {path}");
        assert!(text.contains(wanted), "{method} {path}: {text}");
    }
    assert_eq!(world.done("GET", &path, Value::Null).await, json!({ "tags": {} }));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_does_not_sign_for_eks_changes_or_learns_anything() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    let head =
        Request::delete(path_of(&created)).header("host", "127.0.0.1").body(()).unwrap().into_parts().0;
    let unsigned = Reply::of(world.api.answer(&head, b"").await).await;
    assert_eq!((unsigned.refusal().0, unsigned.refusal().1), (403, "MissingAuthenticationTokenException"));
    let head = world.signed_for("eks-auth", "DELETE", &path_of(&created), "");
    let other_service = Reply::of(world.api.answer(&head, b"").await).await;
    assert_eq!(other_service.refusal().1, "InvalidSignatureException");
    let mut head = world.signed_for("eks", "GET", &path_of(&created), "");
    head.method = Method::DELETE;
    let other_method = Reply::of(world.api.answer(&head, b"").await).await;
    assert_eq!(other_method.refusal().1, "InvalidSignatureException");
    assert_eq!(everything(&*world.store).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn methods_that_eks_does_not_have_are_unknown_operations() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    for (method, path) in [
        ("PUT", path_of(&created)),
        ("PATCH", path_of(&created)),
        ("DELETE", ASSOCIATIONS.to_owned()),
        ("POST", "/clusters".to_owned()),
        ("DELETE", "/clusters/dev".to_owned()),
        ("PUT", tags_of(&created)),
        ("GET", format!("{}/x", path_of(&created))),
    ] {
        let reply = world.eks(method, &path, &Value::Null).await;
        let (status, name, text) = reply.refusal();
        assert_eq!((status, name), (404, "UnknownOperationException"), "{method} {path}");
        assert!(text.contains("/pod-identity-associations"), "{text}");
    }
}
