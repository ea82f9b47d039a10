//! An API server that lists and watches pods over a real socket, behind TLS, as Kubernetes does: pages, bookmarks, 410 Gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::server::{Connection, Request, Server, read_request};

/// The server. It stops when dropped.
pub struct PodWatchServer {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Mutex<Cluster>,
    /// Rings when there is something new to tell or watches must end; counts how often watches were cut.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Cluster {
    pods: BTreeMap<String, Value>,
    version: u64,
    /// What happened, by version.
    events: Vec<(u64, Value)>,
    /// Events before this version are forgotten.
    oldest: u64,
    status: Option<u16>,
    slow: Duration,
    requests: Vec<String>,
    taints: Vec<Value>,
    labels: BTreeMap<String, String>,
}

impl PodWatchServer {
    /// Without pods, with a certificate of `authority`.
    pub async fn start(authority: &Authority) -> Self {
        let shared = Arc::new(Shared { cluster: Mutex::default(), changed: watch::Sender::new(0) });
        let of_server = Arc::clone(&shared);
        let converse = move |stream| answer(stream, Arc::clone(&of_server));
        Self { server: Server::start(Some(authority.acceptor()), converse).await, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A pod of this name is there, running, with these addresses. Its uid is `uid-of-NAME`, as `TokenBuilder` has it.
    pub fn run(&self, name: &str, addresses: &[&str]) {
        self.put(name, addresses, "Running", false);
    }

    /// The same, on the host's network.
    pub fn run_on_host_network(&self, name: &str, addresses: &[&str]) {
        self.put(name, addresses, "Running", true);
    }

    /// The pod is done.
    pub fn succeed(&self, name: &str) {
        self.put(name, &[], "Succeeded", false);
    }

    fn put(&self, name: &str, addresses: &[&str], phase: &str, on_host_network: bool) {
        let mut cluster = self.shared.cluster.lock().unwrap();
        cluster.version += 1;
        let version = cluster.version;
        let ips: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        let pod = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {
                "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
                "resourceVersion": version.to_string(), "annotations": { "filler": "x".repeat(2_000) }
            },
            "spec": { "nodeName": "node-1", "hostNetwork": on_host_network, "containers": [{ "name": "web" }] },
            "status": { "phase": phase, "podIPs": ips }
        });
        let kind =
            if cluster.pods.insert(name.to_owned(), pod.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        cluster.events.push((version, json!({ "type": kind, "object": pod })));
        self.shared.changed.send_modify(|_| {});
    }

    /// The pod is gone.
    pub fn delete(&self, name: &str) {
        let mut cluster = self.shared.cluster.lock().unwrap();
        cluster.version += 1;
        let version = cluster.version;
        let mut pod = cluster.pods.remove(name).unwrap();
        pod["metadata"]["resourceVersion"] = version.to_string().into();
        cluster.events.push((version, json!({ "type": "DELETED", "object": pod })));
        self.shared.changed.send_modify(|_| {});
    }

    /// The pod is gone, and nobody will ever be told: the event is compacted away. Watches end, and later ones from before now
    /// are 410 Gone.
    pub fn delete_and_compact(&self, name: &str) {
        let mut cluster = self.shared.cluster.lock().unwrap();
        cluster.pods.remove(name).unwrap();
        cluster.version += 10;
        cluster.oldest = cluster.version;
        cluster.events.clear();
        self.shared.changed.send_modify(|cuts| *cuts += 1);
    }

    /// All watches end, as they do when an API server is restarted.
    pub fn cut_watches(&self) {
        self.shared.changed.send_modify(|cuts| *cuts += 1);
    }

    /// From now on refuses everything with this status.
    pub fn fail_with(&self, status: u16) {
        self.shared.cluster.lock().unwrap().status = Some(status);
        self.cut_watches();
    }

    /// From now on answers again.
    pub fn recover(&self) {
        self.shared.cluster.lock().unwrap().status = None;
    }

    /// From now on takes so long for a page of a list.
    pub fn slow_down(&self, each: Duration) {
        self.shared.cluster.lock().unwrap().slow = each;
    }

    /// Is gone, with all its connections, until [`Self::revive`].
    pub async fn die(&mut self) {
        self.server.die().await;
    }

    /// Is there again, where it was.
    pub async fn revive(&mut self) {
        self.server.revive().await;
    }

    /// The node gets a taint with this key.
    pub fn taint(&self, key: &str) {
        let taint = json!({ "key": key, "effect": "NoSchedule" });
        self.shared.cluster.lock().unwrap().taints.push(taint);
    }

    /// The node gets this label.
    pub fn label(&self, key: &str, value: &str) {
        self.shared.cluster.lock().unwrap().labels.insert(key.to_owned(), value.to_owned());
    }

    /// The keys of the node's taints.
    pub fn taints(&self) -> Vec<String> {
        let cluster = self.shared.cluster.lock().unwrap();
        cluster.taints.iter().map(|taint| taint["key"].as_str().unwrap().to_owned()).collect()
    }

    /// The first line of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.cluster.lock().unwrap().requests.clone()
    }
}

/// One answer a connection: simple, and what is under test must bear it.
async fn answer(mut stream: Box<dyn Connection>, shared: Arc<Shared>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let target = request.target();
    let (status, slow) = {
        let mut cluster = shared.cluster.lock().unwrap();
        cluster.requests.push(request.line().to_owned());
        (cluster.status, cluster.slow)
    };
    let is_asked_rightly = target.starts_with("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode%2D1&")
        && request.head.to_ascii_lowercase().contains("authorization: bearer token-of-the-agent");
    let is_of_node = target == "/api/v1/nodes/node%2D1";
    let whole = match status {
        Some(status) => {
            Some((status, json!({ "kind": "Status", "message": "pods is forbidden", "code": status })))
        }
        None if is_of_node => Some(node(&mut shared.cluster.lock().unwrap(), &request)),
        None if !is_asked_rightly => Some((400, json!({ "kind": "Status", "message": target, "code": 400 }))),
        None if target.contains("watch=true") => None,
        None => {
            tokio::time::sleep(slow).await;
            Some(page(&shared.cluster.lock().unwrap(), target))
        }
    };
    match whole {
        Some((status, body)) => {
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        None => {
            let _ = tell(&mut stream, &shared, target).await;
        }
    }
}

/// Gets or patches the node.
fn node(cluster: &mut Cluster, Request { head, body }: &Request) -> (u16, Value) {
    if head.starts_with("PATCH ") {
        assert!(head.to_lowercase().contains("content-type: application/json-patch+json"), "{head}");
        let patch: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&patch[0]["op"], &patch[1]["op"]), (&json!("test"), &json!("replace")), "{patch}");
        if patch[0]["value"] != json!(cluster.taints) {
            return (422, json!({ "kind": "Status", "code": 422, "message": "the test failed" }));
        }
        cluster.taints = patch[1]["value"].as_array().unwrap().clone();
    }
    // Without taints there is no such member.
    let spec = if cluster.taints.is_empty() { json!({}) } else { json!({ "taints": cluster.taints }) };
    let metadata = json!({ "name": "node-1", "labels": cluster.labels });
    (200, json!({ "kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": spec }))
}

fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn page(cluster: &Cluster, target: &str) -> (u16, Value) {
    let limit: usize = parameter(target, "limit").unwrap().parse().unwrap();
    let from = parameter(target, "continue").map_or(0, |from| from.parse::<usize>().unwrap());
    let items: Vec<&Value> = cluster.pods.values().skip(from).take(limit).collect();
    let next = from + items.len();
    let next = if next < cluster.pods.len() { next.to_string() } else { String::new() };
    let metadata = json!({ "resourceVersion": cluster.version.to_string(), "continue": next });
    // Go writes an empty list as null.
    let items = if items.is_empty() { Value::Null } else { json!(items) };
    (200, json!({ "kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items }))
}

/// Tells events until the watch is cut.
async fn tell(stream: &mut Box<dyn Connection>, shared: &Shared, target: &str) -> std::io::Result<()> {
    let mut version: u64 = parameter(target, "resourceVersion").unwrap().parse().unwrap();
    let mut changed = shared.changed.subscribe();
    let cuts = *changed.borrow_and_update();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    let mut bookmarks = tokio::time::interval(Duration::from_millis(200));
    loop {
        let lines: Vec<Value> = {
            let cluster = shared.cluster.lock().unwrap();
            if version < cluster.oldest {
                let gone =
                    json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
                vec![json!({ "type": "ERROR", "object": gone })]
            } else {
                let new: Vec<_> = cluster.events.iter().filter(|(at, _)| *at > version).collect();
                version = new.last().map_or(version, |(at, _)| *at);
                new.into_iter().map(|(_, event)| event.clone()).collect()
            }
        };
        for line in lines {
            let is_last = line["type"] == "ERROR";
            let line = format!("{line}\n");
            // In two pieces: a line need not come at once.
            for piece in [&line[..line.len() / 2], &line[line.len() / 2..]] {
                stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
                stream.flush().await?;
            }
            if is_last {
                stream.write_all(b"0\r\n\r\n").await?;
                return stream.shutdown().await;
            }
        }
        tokio::select! {
            told = changed.changed() => {
                if told.is_err() || *changed.borrow() != cuts {
                    return stream.shutdown().await;
                }
            }
            _ = bookmarks.tick() => {
                let object = json!({ "kind": "Pod", "metadata": { "resourceVersion": version.to_string() } });
                let line = format!("{}\n", json!({ "type": "BOOKMARK", "object": object }));
                stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
                stream.flush().await?;
            }
        }
    }
}
