//! What `iptables-save` prints.

use super::walk::{Action, Base, Match, Packet, Rule, Ruleset, is_within};

/// The built-in chains that a packet for this node passes, in the kernel's order.
const WAY: [(&str, &str); 6] = [
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("security", "INPUT"),
];

pub(super) fn read(text: &str, packet: Packet) -> Ruleset {
    let mut rules = Ruleset::default();
    let mut policies = Vec::new();
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if let Some(declared) = line.strip_prefix(':') {
            let mut words = declared.split(' ');
            let name = key(table, words.next().unwrap_or_default());
            policies.push((name.clone(), words.next() == Some("DROP")));
            rules.chains.entry(name).or_default();
        } else if line.starts_with("-A ") {
            let words = words(line);
            let mut words = words.iter().map(String::as_str).skip(1);
            let chain = key(table, words.next().unwrap_or_default());
            let rule = rule(words, line, table, packet);
            rules.chains.entry(chain).or_default().push(rule);
        }
    }
    for (table, chain) in WAY {
        let name = key(table, chain);
        let policy = policies.iter().find(|(declared, _)| *declared == name);
        rules.bases.extend(policy.map(|(_, drops)| Base {
            name: format!("{table} {chain}"),
            chain: name.clone(),
            drops: *drops,
        }));
    }
    rules
}

fn key(table: &str, chain: &str) -> String {
    format!("{table} {chain}")
}

/// Splits a line as a shell would: comments are in double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped, mut any) =
        (Vec::new(), String::new(), false, false, false);
    for character in line.chars() {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => word.push(character),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

fn rule<'a>(words: impl Iterator<Item = &'a str>, line: &str, table: &str, packet: Packet) -> Rule {
    let mut words = words.peekable();
    let (mut matches, mut negated) = (Match::Yes, false);
    let mut action = Action::Nothing;
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let found = match word {
            "!" => {
                negated = true;
                continue;
            }
            "-d" | "--destination" => within(packet, value()),
            // A pod's address is not known here; this node's own are not a pod's.
            "-s" | "--source" => of_source(value()),
            "-p" | "--protocol" => match value() {
                "tcp" | "6" | "all" | "0" => Match::Yes,
                _ => Match::No,
            },
            "-i" | "--in-interface" => {
                if value() == "lo" {
                    Match::No
                } else {
                    Match::Unknown
                }
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                ports(value(), packet.port)
            }
            "--ctstate" | "--state" => states(value()),
            "--dst-type" => {
                if value() == "LOCAL" {
                    Match::Yes
                } else {
                    Match::Unknown
                }
            }
            "-m" | "--match" => match value() {
                // These say nothing by themselves.
                "tcp" | "multiport" | "comment" | "conntrack" | "state" | "addrtype" => Match::Yes,
                _ => Match::Unknown,
            },
            "--comment" => {
                value();
                Match::Yes
            }
            "-j" | "--jump" => {
                let target = value().to_owned();
                let rest: Vec<&str> = words.by_ref().collect();
                action = target_of(&target, &rest, table, packet);
                break;
            }
            "-g" | "--goto" => {
                action = Action::Goto(key(table, value()));
                break;
            }
            _ => Match::Unknown,
        };
        let found = if std::mem::take(&mut negated) { found.not() } else { found };
        matches = matches.and(found);
    }
    Rule { matches, action, text: line.to_owned() }
}

fn target_of(target: &str, options: &[&str], table: &str, packet: Packet) -> Action {
    let option =
        |name: &str| options.iter().position(|option| *option == name).and_then(|at| options.get(at + 1));
    match target {
        "ACCEPT" => Action::Accept,
        "RETURN" => Action::Return,
        "DROP" => Action::Drop("dropped"),
        "REJECT" => Action::Drop("rejected"),
        "DNAT" => match option("--to-destination") {
            Some(target) if is_same(target, packet) => Action::Accept,
            Some(target) => Action::Redirect((*target).to_owned()),
            None => Action::Unknown,
        },
        // To the address of the link the packet came by, whatever the port.
        "REDIRECT" => {
            let port = packet.port.to_string();
            let port = option("--to-ports").map_or(port.as_str(), |port| port);
            Action::Redirect(format!("port {port} of the node's address on the pod's link"))
        }
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "TCPMSS" | "CT" | "TRACE" | "CLASSIFY" | "DSCP"
        | "TOS" | "SET" | "CHECKSUM" | "AUDIT" | "SECMARK" | "CONNSECMARK" | "NOTRACK" | "TTL" => {
            Action::Nothing
        }
        "QUEUE" | "NFQUEUE" | "TPROXY" | "NETMAP" | "MASQUERADE" | "SNAT" | "TEE" | "SYNPROXY" => {
            Action::Unknown
        }
        chain => Action::Jump(key(table, chain)),
    }
}

/// Whether a rewritten packet is still for the agent.
fn is_same(target: &str, packet: Packet) -> bool {
    let bare = packet.to.to_string();
    let bracketed = if packet.to.is_ipv6() { format!("[{bare}]") } else { bare.clone() };
    target == bare || target == format!("{bracketed}:{}", packet.port)
}

fn within(packet: Packet, network: &str) -> Match {
    is_within(packet.to, network).map_or(Match::Unknown, Match::from)
}

fn of_source(networks: &str) -> Match {
    match networks {
        "0.0.0.0/0" | "::/0" => Match::Yes,
        "127.0.0.0/8" | "127.0.0.1/32" | "127.0.0.1" | "::1/128" | "::1" => Match::No,
        _ => Match::Unknown,
    }
}

/// `80`, `80:90`, `443,80:90`.
fn ports(list: &str, port: u16) -> Match {
    let mut found = Match::No;
    for part in list.split(',') {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let from = if from.is_empty() { Ok(0) } else { from.parse::<u16>() };
        let to = if to.is_empty() { Ok(u16::MAX) } else { to.parse::<u16>() };
        match (from, to) {
            (Ok(from), Ok(to)) if (from..=to).contains(&port) => return Match::Yes,
            (Ok(_), Ok(_)) => {}
            _ => found = Match::Unknown,
        }
    }
    found
}

/// The first packet of a connection is new, and nothing else.
fn states(list: &str) -> Match {
    let states: Vec<&str> = list.split(',').collect();
    if states.contains(&"NEW") {
        return Match::Yes;
    }
    // DNAT and SNAT are states of a packet that was rewritten before.
    let never = ["ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"];
    if states.iter().all(|state| never.contains(state)) { Match::No } else { Match::Unknown }
}
