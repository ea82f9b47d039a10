//! A real disk that is full: a small one of the test's own. Needs root, as the network ring does.

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};
use testkit::network::in_namespace;

use crate::eks::{ASSOCIATIONS, Caller};
use crate::system::{ROLE, System, folder};

#[test]
fn on_a_full_disk_a_change_fails_pods_are_served_and_with_room_again_it_works_without_a_restart() {
    let data = folder();
    let mount = format!("mount -t tmpfs -o size=4m,mode=700 tmpfs {}", data.path().display());
    in_namespace("full-disk", &[&mount], || async {
        let system = System::start(data.path(), &[]).await;
        system.associate().await;
        let (caller, pid) = (Caller::of(&system).await, system.pid());
        let filler = data.path().join("filler");
        let mut file = File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}

        // The database has some room of its own left.
        let mut kept = 1;
        let refused = loop {
            let answer = caller.call(&system, "POST", ASSOCIATIONS, &large(kept).to_string()).await;
            if answer.status != 200 {
                break answer;
            }
            kept += 1;
        };
        assert_eq!(refused.status, 500, "{refused:?}");
        assert_eq!(refused.header("x-amzn-errortype"), Some("ServerException"));
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("free some disk space and send the request again"), "{message}");
        assert_eq!(names(&caller, &system).await, kept);
        assert_eq!(system.credentials(&system.token().await).await.status, 200);

        std::fs::remove_file(&filler).unwrap();
        drop(file);
        caller.done(&system, "POST", ASSOCIATIONS, large(kept)).await;
        assert_eq!(names(&caller, &system).await, kept + 1);
        assert_eq!(system.pid(), pid);
    });
}

/// An association with as many and as long tags as there may be.
fn large(number: usize) -> Value {
    let tags: serde_json::Map<_, _> =
        (0..50).map(|tag| (format!("tag-{tag}"), json!("x".repeat(200)))).collect();
    json!({ "namespace": "large", "serviceAccount": format!("web-{number}"), "roleArn": ROLE, "tags": tags })
}

/// How many associations there are.
async fn names(caller: &Caller, system: &System) -> usize {
    let mut all = 0;
    let mut next = String::new();
    loop {
        let page = caller.done(system, "GET", &format!("{ASSOCIATIONS}{next}"), Value::Null).await;
        all += page["associations"].as_array().unwrap().len();
        match page["nextToken"].as_str() {
            Some(token) => next = format!("?nextToken={token}"),
            None => return all,
        }
    }
}
