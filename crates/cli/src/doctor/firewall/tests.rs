use super::*;
use crate::doctor::finding::Severity;

const V4: (IpAddr, u16) = (IpAddr::V4(agent::settings::AWS_IPV4), 80);

fn saved(nat: &str, input: &str, policy: &str) -> String {
    let chains = "CNI-HOSTPORT-DNAT CNI-DN-1 KUBE-FIREWALL HARDENING";
    let declared = |table: &str| {
        chains.split(' ').map(|chain| format!(":{chain} - [0:0]\n")).collect::<String>() + table
    };
    format!(
        "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\n{}{nat}COMMIT\n*filter\n:INPUT {policy} [0:0]\n{}{input}COMMIT\n",
        declared(""),
        declared("")
    )
}

fn found(save: &str) -> Option<Cause> {
    let findings = judge(Some(save), None, None, &[V4]);
    assert_eq!(findings.len(), 1);
    (findings[0].severity > Severity::Ok).then_some(findings[0].cause)
}

/// What portmap makes of a pod with `hostPort: 80`, as plugins 1.x write it.
const PORTMAP: &str = "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
    -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"k8s-pod-network\\\" id: \\\"1\\\"\" -m multiport --dports 80,443 -j CNI-DN-1\n\
    -A CNI-DN-1 -s 10.244.0.0/24 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x2000/0x2000\n\
    -A CNI-DN-1 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.5:80\n";

#[test]
fn a_host_port_of_80_is_found_in_front_of_the_address() {
    assert_eq!(found(&saved(PORTMAP, "", "ACCEPT")), Some(Cause::TrafficRedirected));
    let finding = &judge(Some(&saved(PORTMAP, "", "ACCEPT")), None, None, &[V4])[0];
    assert!(finding.what.contains("goes to 10.244.0.5:80 instead"), "{}", finding.what);
    assert!(
        finding.remedy.contains("iptables -t nat -I PREROUTING -d 169.254.170.23/32"),
        "{}",
        finding.remedy
    );
}

#[test]
fn what_does_not_certainly_concern_the_address_is_left_alone() {
    let excluded =
        format!("-A PREROUTING -d 169.254.170.23/32 -p tcp -m tcp --dport 80 -j RETURN\n{PORTMAP}");
    let other_port = PORTMAP.replace("--dports 80,443", "--dports 8080");
    let not_ours = PORTMAP.replace("-p tcp -m comment", "! -d 169.254.170.23/32 -p tcp -m comment");
    for nat in [
        excluded.as_str(),
        &other_port,
        &not_ours,
        "-A PREROUTING -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8181\n",
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n",
        "-A PREROUTING -p udp -m udp --dport 80 -j REDIRECT --to-ports 8080\n",
        "-A PREROUTING -m set --match-set blocked dst -j DNAT --to-destination 10.0.0.1\n",
        "-A PREROUTING -d 169.254.170.23/32 -p tcp -j DNAT --to-destination 169.254.170.23:80\n",
    ] {
        assert_eq!(found(&saved(nat, "", "ACCEPT")), None, "{nat}");
    }
    for input in [
        "-A INPUT -s 10.0.0.0/8 -j DROP\n",
        "-A INPUT -m conntrack --ctstate INVALID -j DROP\n",
        "-A INPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block it\" \
         -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n",
        "-A INPUT -s 10.0.0.0/8 -j ACCEPT\n-A INPUT -j DROP\n",
        "-A INPUT -i cali+ -j ACCEPT\n-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n",
        "-A INPUT -p tcp -m tcp --dport 22 -j DROP\n",
        "-A INPUT -m limit --limit 5/min -j LOG\n-A INPUT -d 169.254.170.23/32 -j ACCEPT\n-A INPUT -j DROP\n",
    ] {
        assert_eq!(found(&saved("", input, "ACCEPT")), None, "{input}");
    }
}

#[test]
fn hardening_that_drops_the_address_is_found() {
    let established =
        "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
    for (input, policy) in [
        ("-A INPUT -d 169.254.170.23/32 -j DROP\n".to_owned(), "ACCEPT"),
        ("-A INPUT -d 169.254.0.0/16 -p tcp -m tcp --dport 1:1024 -j REJECT --reject-with icmp-port-unreachable\n".to_owned(), "ACCEPT"),
        (format!("{established}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"), "DROP"),
        (format!("{established}-A INPUT -j HARDENING\n-A HARDENING -p tcp -j DROP\n"), "ACCEPT"),
        ("-A INPUT -g HARDENING\n-A HARDENING ! -p udp -m state --state NEW -j DROP\n".to_owned(), "ACCEPT"),
    ] {
        assert_eq!(found(&saved("", &input, policy)), Some(Cause::TrafficDropped), "{input}");
    }
}

fn nft(chain: &str, rules: &[&str]) -> Option<Cause> {
    let rules: String = rules
        .iter()
        .map(|expr| {
            format!(r#",{{"rule":{{"family":"inet","table":"t","chain":"c","handle":3,"expr":[{expr}]}}}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"nftables":[{{"metainfo":{{"json_schema_version":1}}}},{{"table":{{"family":"inet","name":"t"}}}},{{"chain":{{"family":"inet","table":"t","name":"c",{chain}}}}}{rules}]}}"#
    );
    let findings = judge(None, None, Some(&text), &[V4]);
    (findings[0].severity > Severity::Ok).then_some(findings[0].cause)
}

#[test]
fn rules_of_nftables_are_read_the_same_way() {
    let input = r#""type":"filter","hook":"input","prio":0,"policy":"accept""#;
    let input_drops = r#""type":"filter","hook":"input","prio":0,"policy":"drop""#;
    let forward = r#""type":"filter","hook":"forward","prio":0,"policy":"drop""#;
    let nat = r#""type":"nat","hook":"prerouting","prio":-100,"policy":"accept""#;
    let daddr = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"169.254.170.23"}}"#;
    let range = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":{"prefix":{"addr":"169.254.0.0","len":16}}}}"#;
    let ports = r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":{"set":[22,{"range":[80,90]}]}}}"#;
    let established = r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}"#;
    let from_eth0 = r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}}"#;
    let drop = r#"{"counter":{"packets":0,"bytes":0}},{"drop":null}"#;
    let dnat = r#"{"dnat":{"addr":"10.0.0.5","port":8080}}"#;
    assert_eq!(nft(input, &[&format!("{daddr},{drop}")]), Some(Cause::TrafficDropped));
    assert_eq!(nft(input, &[&format!("{range},{ports},{drop}")]), Some(Cause::TrafficDropped));
    assert_eq!(nft(nat, &[&format!("{ports},{dnat}")]), Some(Cause::TrafficRedirected));
    assert_eq!(nft(input_drops, &[established]), Some(Cause::TrafficDropped));
    assert_eq!(nft(input_drops, &[established, &format!("{daddr},{}", r#"{"accept":null}"#)]), None);
    assert_eq!(nft(forward, &[]), None);
    assert_eq!(nft(nat, &[&format!("{from_eth0},{ports},{dnat}")]), None);
    assert_eq!(nft(input, &[&format!("{}{drop}", r#"{"xt":null},"#)]), None);
}

#[test]
fn without_a_tool_nothing_is_claimed() {
    let findings = judge(None, None, None, &[V4]);
    assert_eq!((findings[0].cause, findings[0].severity), (Cause::FirewallUnknown, Severity::Note));
}

#[test]
fn networks_are_compared_by_their_bits() {
    let ours: IpAddr = "169.254.170.23".parse().unwrap();
    for (network, wanted) in [
        ("169.254.170.23", Some(true)),
        ("169.254.170.0/24", Some(true)),
        ("169.254.0.0/255.255.0.0", Some(true)),
        ("0.0.0.0/0", Some(true)),
        ("169.254.170.24/31", Some(false)),
        ("fd00:ec2::/32", Some(false)),
        ("169.254.0.0/33", None),
        ("nonsense", None),
    ] {
        assert_eq!(walk::is_within(ours, network), wanted, "{network}");
    }
}
