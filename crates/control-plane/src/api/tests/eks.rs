//! The EKS API: what it answers, what it refuses, and that a refusal changes nothing.

use super::*;

mod refusals;

pub(super) const ASSOCIATIONS: &str = "/clusters/dev/pod-identity-associations";
pub(super) const ROLE: &str = "arn:aws:iam::111122223333:role/web";
const TARGET: &str = "arn:aws:iam::444455556666:role/target";

impl World {
    pub(super) async fn eks(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = self.signed_for("eks", method, path, &body);
        Reply::of(self.api.answer(&head, body.as_bytes()).await).await
    }

    /// A call that must succeed; gives its body.
    pub(super) async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let reply = self.eks(method, path, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    pub(super) async fn create(&self, namespace: &str, service_account: &str) -> Value {
        let body = json!({ "namespace": namespace, "serviceAccount": service_account, "roleArn": ROLE });
        self.done("POST", ASSOCIATIONS, body).await["association"].clone()
    }
}

pub(super) fn path_of(association: &Value) -> String {
    format!("{ASSOCIATIONS}/{}", association["associationId"].as_str().unwrap())
}

pub(super) fn tags_of(association: &Value) -> String {
    let arn = association["associationArn"].as_str().unwrap();
    format!("/tags/{}", arn.replace(':', "%3A").replace('/', "%2F"))
}

fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        format!("{}/{}", item["namespace"].as_str().unwrap(), item["serviceAccount"].as_str().unwrap())
    };
    list["associations"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn an_association_is_answered_with_every_member_that_it_has() {
    let world = World::at(Clock::anchored(noon() + Duration::from_millis(922)));
    let plain = world.create("shop", "web").await;
    let id = plain["associationId"].as_str().unwrap();
    assert_eq!(
        plain,
        json!({
            "clusterName": "dev", "namespace": "shop", "serviceAccount": "web", "roleArn": ROLE, "tags": {},
            "associationArn": format!("arn:aws:eks:us-west-2:111122223333:podidentityassociation/dev/{id}"),
            "associationId": id, "createdAt": 1_795_320_632.922, "modifiedAt": 1_795_320_632.922,
            "disableSessionTags": false
        })
    );
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let body = json!({
        "namespace": "shop", "serviceAccount": "api", "roleArn": ROLE, "targetRoleArn": TARGET,
        "disableSessionTags": true, "policy": policy, "tags": { "team": "shop" },
        "clientRequestToken": "5d0a7d2e-2f0a-4f9c-8d9b-0f6f5b8a9c11", "externalId": "mine", "tomorrow": [1]
    });
    let full = world.done("POST", ASSOCIATIONS, body).await["association"].clone();
    assert_eq!((&full["targetRoleArn"], &full["policy"]), (&json!(TARGET), &json!(policy)));
    assert_eq!((&full["disableSessionTags"], &full["tags"]), (&json!(true), &json!({ "team": "shop" })));
    assert_eq!(full["externalId"], "us-west-2/111122223333/dev/shop/api");
    assert_eq!(world.done("GET", &path_of(&full), Value::Null).await["association"], full);
}

#[tokio::test(start_paused = true)]
async fn an_update_changes_what_it_names_and_an_empty_text_takes_away() {
    let world = World::new();
    let path = path_of(&world.create("shop", "web").await);
    tokio::time::advance(Duration::from_secs(60)).await;
    let update = async |body: Value| world.done("POST", &path, body).await["association"].clone();
    let chained =
        update(json!({ "targetRoleArn": TARGET, "disableSessionTags": true, "policy": "{}" })).await;
    assert_eq!((&chained["roleArn"], &chained["targetRoleArn"]), (&json!(ROLE), &json!(TARGET)));
    let modified = chained["modifiedAt"].as_f64().unwrap() - chained["createdAt"].as_f64().unwrap();
    assert!((modified - 60.0).abs() < 0.001, "{chained}");
    // What cannot be changed is no member of this operation, so it is ignored like any other name.
    let direct = update(json!({ "targetRoleArn": "", "policy": "", "namespace": "other" })).await;
    assert_eq!(
        (direct.get("targetRoleArn"), direct.get("policy"), direct.get("externalId")),
        (None, None, None)
    );
    assert_eq!((&direct["namespace"], &direct["disableSessionTags"]), (&json!("shop"), &json!(true)));
    let tagged = update(json!({ "disableSessionTags": false, "targetRoleArn": null })).await;
    assert_eq!(tagged["disableSessionTags"], false);
}

#[tokio::test(start_paused = true)]
async fn a_delete_answers_with_what_was_deleted() {
    let world = World::new();
    let created = world.create("shop", "web").await;
    assert_eq!(world.done("DELETE", &path_of(&created), Value::Null).await["association"], created);
    assert_eq!(world.eks("GET", &path_of(&created), &Value::Null).await.status, 404);
    assert_eq!(world.done("GET", ASSOCIATIONS, Value::Null).await, json!({ "associations": [] }));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_repeated_with_its_token_is_answered_as_the_first_time() {
    let world = World::new();
    let body = json!({
        "namespace": "shop", "serviceAccount": "web", "roleArn": ROLE, "clientRequestToken": "one"
    });
    let first = world.done("POST", ASSOCIATIONS, body.clone()).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(world.done("POST", ASSOCIATIONS, body).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_its_token_says_and_holds_summaries() {
    let world = World::new();
    for (namespace, account) in [("b", "y"), ("a", "z"), ("b", "x")] {
        world.create(namespace, account).await;
    }
    let first = world.done("GET", &format!("{ASSOCIATIONS}?maxResults=2"), Value::Null).await;
    assert_eq!(names(&first), ["a/z", "b/x"]);
    let mut members: Vec<_> = first["associations"][0].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["associationArn", "associationId", "clusterName", "namespace", "serviceAccount"]);
    let token = first["nextToken"].as_str().unwrap();
    let second =
        world.done("GET", &format!("{ASSOCIATIONS}?maxResults=2&nextToken={token}"), Value::Null).await;
    assert_eq!((names(&second), second.get("nextToken")), (vec!["b/y".to_owned()], None));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered_by_whole_names() {
    let world = World::new();
    for (namespace, account) in [("a", "web"), ("ab", "web"), ("b", "api")] {
        world.create(namespace, account).await;
    }
    for (query, wanted) in [
        ("namespace=a", vec!["a/web"]),
        ("serviceAccount=web", vec!["a/web", "ab/web"]),
        ("namespace=b&serviceAccount=web", vec![]),
        ("namespace=%61b&unknown=1&flag", vec!["ab/web"]),
    ] {
        let list = world.done("GET", &format!("{ASSOCIATIONS}?{query}"), Value::Null).await;
        assert_eq!(names(&list), wanted, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_listed_and_taken_away_by_the_encoded_arn() {
    let world = World::new();
    let path = tags_of(&world.create("shop", "web").await);
    let set = json!({ "tags": { "team": "shop", "a/b c": "", "stage": "test" } });
    assert_eq!(world.done("POST", &path, set).await, json!({}));
    let untag = format!("{path}?tagKeys=team&tagKeys=a%2Fb%20c&tagKeys=unknown");
    assert_eq!(world.done("DELETE", &untag, Value::Null).await, json!({}));
    assert_eq!(world.done("GET", &path, Value::Null).await, json!({ "tags": { "stage": "test" } }));
    // Not encoded, as a person types it.
    let typed = path.replace("%3A", ":").replace("%2F", "/");
    assert_eq!(world.done("GET", &typed, Value::Null).await, json!({ "tags": { "stage": "test" } }));
}

#[tokio::test(start_paused = true)]
async fn the_one_cluster_is_listed_and_described() {
    let world = World::new();
    assert_eq!(
        world.done("GET", "/clusters?maxResults=10", Value::Null).await,
        json!({ "clusters": ["dev"] })
    );
    let cluster = world.done("GET", "/clusters/dev", Value::Null).await["cluster"].clone();
    assert_eq!(
        cluster,
        json!({
            "name": "dev", "arn": "arn:aws:eks:us-west-2:111122223333:cluster/dev", "status": "ACTIVE",
            "identity": { "oidc": { "issuer": "http://127.0.0.1:17024" } }
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_given_here_is_what_the_exchange_finds() {
    let world = World::new();
    let association = world.create("shop", "web").await;
    let reply = world.call(OPERATION, &world.body("web")).await;
    assert_eq!(reply.body["podIdentityAssociation"]["associationArn"], association["associationArn"]);
    world.done("DELETE", &path_of(&association), Value::Null).await;
    assert_eq!(world.call(OPERATION, &world.body("web")).await.status, 404);
}
