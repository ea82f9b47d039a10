//! The list of set-ups: one line each here and in README.md.

use std::collections::BTreeSet;

/// Makes a test of each: its name, what the node's namespace begins with, and the ids of all warnings and errors.
macro_rules! set_ups {
    ($($room:ident :: $name:ident [$($shell:expr),*] finds [$($id:literal),*];)+) => {
        const ALL: &[(&str, &[&str])] = &[$((stringify!($name), &[$($id),*]),)+];

        $(
            #[test]
            fn $name() {
                testkit::network::in_namespace(stringify!($name), &[$($shell),*], || async {
                    let examined = crate::$room::$name().await;
                    examined.finds(&[$($id),*]);
                });
            }
        )+
    };
}

const WITHOUT_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";

set_ups! {
    node::the_link_is_missing [] finds ["link-missing"];
    node::the_link_is_down [] finds ["link-down"];
    node::the_address_is_missing [] finds ["address-missing"];
    node::the_route_is_missing [] finds ["route-missing"];
    node::the_address_is_on_another_link [] finds ["address-elsewhere"];
    node::the_route_leads_to_another_link [] finds ["route-elsewhere"];
    node::ipv6_is_off_and_required [] finds ["ipv6-off"];
    node::the_agent_does_not_run [] finds ["agent-not-running"];
    node::the_agent_stands_still [] finds ["agent-silent", "probes-unreachable"];
    node::another_server_has_the_address [] finds ["port-taken"];
    node::another_server_has_port_80_of_all_addresses [] finds ["port-taken"];
    firewall::a_host_port_takes_port_80 [] finds ["traffic-redirected"];
    firewall::a_rule_of_nftables_takes_port_80 [] finds ["traffic-redirected"];
    firewall::hardening_drops_the_address [] finds ["traffic-dropped"];
    firewall::a_policy_of_nftables_drops_everything [] finds ["traffic-dropped"];
    aws::the_agent_has_no_credentials [] finds ["own-credentials-missing"];
    aws::the_agents_keys_are_unknown [] finds ["own-credentials-refused"];
    aws::the_agent_may_not_exchange_tokens [] finds ["eks-auth-not-allowed"];
    aws::the_cluster_is_unknown [] finds ["cluster-unknown"];
    aws::the_clock_is_ten_minutes_off [] finds ["clock-skew"];
    aws::the_region_is_missing [] finds ["eks-auth-misconfigured"];
    aws::the_name_of_eks_auth_leads_nowhere [] finds ["eks-auth-dns"];
    aws::eks_auth_takes_no_connections [] finds ["eks-auth-unreachable"];
    aws::the_authority_of_eks_auth_is_unknown [] finds ["eks-auth-tls"];
    aws::the_proxy_of_the_agent_is_dead [] finds ["eks-auth-proxy"];
    aws::something_else_answers_for_eks_auth [] finds ["eks-auth-unintelligible"];
    cluster::the_api_server_is_unreachable [] finds ["api-server-unreachable"];
    cluster::the_api_server_forbids_the_keys [] finds ["api-server-forbidden"];
    cluster::the_files_of_the_service_account_are_gone [] finds ["api-server-files"];
    cluster::the_signing_keys_are_stale [] finds ["signing-keys-stale"];
    pod::the_variables_are_missing [] finds ["pod-not-mutated"];
    pod::static_keys_are_left_over [] finds ["pod-static-keys"];
    pod::a_profile_is_left_over [] finds ["pod-profile"];
    pod::web_identity_is_left_over [] finds ["pod-web-identity"];
    pod::the_uri_is_that_of_ecs [] finds ["pod-wrong-uri"];
    pod::the_proxy_is_not_told_of_the_agent [] finds ["pod-proxy"];
    pod::the_token_file_is_missing [] finds ["pod-token-missing"];
    pod::the_token_is_another_users [] finds ["pod-token-unreadable"];
    pod::the_token_is_empty [] finds ["pod-token-empty"];
    pod::the_token_ends_with_a_newline [] finds ["pod-token-newline"];
    pod::the_token_is_expired [] finds ["pod-token-expired"];
    pod::the_token_is_for_another_audience [] finds ["pod-token-audience"];
    pod::there_is_no_association [] finds ["pod-no-association"];
    pod::the_role_does_not_trust_eks [] finds ["pod-role-denied"];
    pod::a_policy_keeps_the_pod_from_the_agent [] finds ["pod-unreachable"];
    healthy::a_node_with_both_families [] finds [];
    healthy::a_node_without_ipv6 [WITHOUT_IPV6] finds [];
    healthy::a_node_whose_firewall_has_rules_for_others [] finds [];
    healthy::a_pod_that_gets_its_credentials [] finds [];
    healthy::an_agent_in_a_cluster [] finds [];
    healthy::an_agent_whose_files_only_it_sees [] finds [];
    healthy::an_agent_whose_profile_runs_a_program [] finds [];
    healthy::a_program_of_dev_run [] finds [];
}

#[test]
fn the_readme_lists_exactly_the_set_ups_there_are() {
    let listed: BTreeSet<(String, String)> = include_str!("README.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.trim_end_matches(" |").split(" | ");
            let (name, _, ids) = (cells.next()?, cells.next()?, cells.next()?);
            Some((name.trim_end_matches('`').to_owned(), ids.replace('`', "")))
        })
        .collect();
    let there = ALL.iter().map(|(name, ids)| {
        ((*name).to_owned(), if ids.is_empty() { "nothing".to_owned() } else { ids.join(", ") })
    });
    assert_eq!(listed, there.collect());
    assert!(ALL.iter().filter(|(_, ids)| !ids.is_empty()).count() >= 25);
}
