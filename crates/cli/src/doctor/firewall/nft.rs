//! What `nft -j list ruleset` prints (libnftables-json).

use std::net::IpAddr;

use serde_json::Value;

use super::walk::{Action, Base, Match, Packet, Rule, Ruleset, is_within};

/// `None` if the text is not of that form.
pub(super) fn read(text: &str, packet: Packet) -> Option<Ruleset> {
    let document: Value = serde_json::from_str(text).ok()?;
    let family = if packet.to.is_ipv4() { "ip" } else { "ip6" };
    let concerns = |object: &Value| object["family"] == family || object["family"] == "inet";
    let mut rules = Ruleset::default();
    let mut bases = Vec::new();
    for object in document["nftables"].as_array()? {
        if let Some(chain) = object.get("chain").filter(|chain| concerns(chain)) {
            let name = key(chain, &chain["name"]);
            rules.chains.entry(name.clone()).or_default();
            let hook = ["prerouting", "input"].iter().position(|hook| chain["hook"] == *hook);
            let base = Base { name: name.clone(), chain: name, drops: chain["policy"] == "drop" };
            bases.extend(hook.map(|hook| ((hook, chain["prio"].as_i64().unwrap_or_default()), base)));
        } else if let Some(rule) = object.get("rule").filter(|rule| concerns(rule)) {
            let chain = key(rule, &rule["chain"]);
            rules.chains.entry(chain).or_default().push(compare(rule, packet));
        }
    }
    bases.sort_by_key(|(order, _)| *order);
    rules.bases = bases.into_iter().map(|(_, base)| base).collect();
    Some(rules)
}

/// Family, table and chain, as `nft` takes them.
fn key(object: &Value, chain: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", word(&object["family"]), word(&object["table"]), word(chain))
}

fn compare(rule: &Value, packet: Packet) -> Rule {
    let mut matches = Match::Yes;
    let mut action = Action::Nothing;
    let mut text = String::new();
    for expression in rule["expr"].as_array().into_iter().flatten() {
        let Some((name, body)) = expression.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        text.push_str(&format!("{expression} "));
        match name.as_str() {
            "match" => matches = matches.and(matching(body, packet)),
            "counter" | "log" | "mangle" | "notrack" | "meta" | "ct helper" | "ct timeout" | "flow" => {}
            "accept" => action = Action::Accept,
            "return" => action = Action::Return,
            "drop" => action = Action::Drop("dropped"),
            "reject" => action = Action::Drop("rejected"),
            "jump" => action = Action::Jump(target(rule, body)),
            "goto" => action = Action::Goto(target(rule, body)),
            "dnat" => action = rewrite(body, packet),
            // To the address of the link the packet came by, whatever the port.
            "redirect" => action = Action::Redirect("the node's address on the pod's link".to_owned()),
            // Among them xt, behind which rules of iptables are that nft cannot read, sets, maps and limits.
            _ => {
                matches = matches.and(Match::Unknown);
                action = if action == Action::Nothing { Action::Unknown } else { action };
            }
        }
    }
    Rule { matches, action, text: text.trim_end().to_owned() }
}

fn target(rule: &Value, body: &Value) -> String {
    key(rule, &body["target"])
}

fn rewrite(body: &Value, packet: Packet) -> Action {
    let address = body.get("addr").map(|address| address.as_str().unwrap_or_default().parse::<IpAddr>());
    let port = body.get("port").map(|port| port.as_u64().and_then(|port| u16::try_from(port).ok()));
    let is_same_address = match address {
        None => true,
        Some(Ok(address)) if address == packet.to => true,
        Some(Ok(_)) => false,
        Some(Err(_)) => return Action::Unknown,
    };
    let is_same_port = match port {
        None => true,
        Some(Some(port)) => port == packet.port,
        Some(None) => return Action::Unknown,
    };
    if is_same_address && is_same_port {
        return Action::Accept;
    }
    let address = address.and_then(Result::ok).unwrap_or(packet.to);
    let port = port.flatten().unwrap_or(packet.port);
    Action::Redirect(format!("{address} port {port}"))
}

fn matching(body: &Value, packet: Packet) -> Match {
    let found = one(&body["left"], &body["right"], packet);
    match body["op"].as_str() {
        Some("==" | "in") => found,
        Some("!=") => found.not(),
        _ => Match::Unknown,
    }
}

fn one(left: &Value, right: &Value, packet: Packet) -> Match {
    let payload = |name: &str| left["payload"][name].as_str().unwrap_or_default();
    match (payload("protocol"), payload("field")) {
        ("ip" | "ip6", "daddr") => of(right, &|value| address(value, packet.to)),
        ("ip" | "ip6", "saddr") => of(right, &|value| match address(value, IpAddr::from([127, 0, 0, 1])) {
            Match::Yes if value == "127.0.0.1" || value["prefix"]["addr"] == "127.0.0.0" => Match::No,
            _ => Match::Unknown,
        }),
        ("ip", "protocol") | ("ip6", "nexthdr") => {
            of(right, &|value| Match::from(value == "tcp" || value == 6))
        }
        ("tcp" | "th", "dport") => of(right, &|value| port(value, packet.port)),
        ("udp" | "sctp" | "icmp" | "icmpv6", _) => Match::No,
        _ => match (left["meta"]["key"].as_str(), left["ct"]["key"].as_str(), left["fib"]["result"].as_str())
        {
            (Some("l4proto"), ..) => of(right, &|value| Match::from(value == "tcp" || value == 6)),
            (Some("nfproto"), ..) => {
                let family = if packet.to.is_ipv4() { "ipv4" } else { "ipv6" };
                of(right, &|value| Match::from(value == family))
            }
            (Some("iif" | "iifname"), ..) => {
                of(right, &|value| if value == "lo" { Match::No } else { Match::Unknown })
            }
            (_, Some("state"), _) => of(right, &|value| match value.as_str() {
                Some("new") => Match::Yes,
                Some("established" | "related" | "invalid" | "untracked") => Match::No,
                _ => Match::Unknown,
            }),
            (.., Some("type"))
                if left["fib"]["flags"]
                    .as_array()
                    .is_some_and(|flags| flags.iter().any(|flag| flag == "daddr")) =>
            {
                of(right, &|value| if value == "local" { Match::Yes } else { Match::Unknown })
            }
            _ => Match::Unknown,
        },
    }
}

/// One value, or a list or set of which one must match.
fn of(right: &Value, one: &dyn Fn(&Value) -> Match) -> Match {
    let members = right.as_array().or_else(|| right["set"].as_array());
    let Some(members) = members else { return one(right) };
    let mut found = Match::No;
    for member in members {
        match one(member) {
            Match::Yes => return Match::Yes,
            Match::Unknown => found = Match::Unknown,
            Match::No => {}
        }
    }
    found
}

fn address(value: &Value, ours: IpAddr) -> Match {
    let within = match (value.as_str(), &value["prefix"]) {
        (Some(text), _) => is_within(ours, text),
        (None, Value::Object(prefix)) => {
            let base = prefix.get("addr").and_then(Value::as_str).unwrap_or_default();
            let length = prefix.get("len").and_then(Value::as_u64).unwrap_or(u64::MAX);
            is_within(ours, &format!("{base}/{length}"))
        }
        _ => None,
    };
    within.map_or(Match::Unknown, Match::from)
}

fn port(value: &Value, ours: u16) -> Match {
    if let Some(port) = value.as_u64() {
        return Match::from(port == u64::from(ours));
    }
    match value["range"].as_array().map(Vec::as_slice) {
        Some([from, to]) => match (from.as_u64(), to.as_u64()) {
            (Some(from), Some(to)) => Match::from((from..=to).contains(&u64::from(ours))),
            _ => Match::Unknown,
        },
        _ => Match::Unknown,
    }
}
