use std::collections::HashMap;

use super::*;
use crate::command::read_flags;

fn read(arguments: &[&str]) -> Result<Settings, String> {
    read_with(arguments, &HashMap::new())
}

fn read_with(arguments: &[&str], environment: &HashMap<&str, &str>) -> Result<Settings, String> {
    let arguments = ["eks-pod-identity-agent", "server"].iter().chain(arguments).map(ToString::to_string);
    let flags = read_flags(arguments)?;
    Settings::read(&flags, environment).map_err(|mistakes| mistakes.to_string())
}

fn named(cluster: &str) -> Cluster {
    Cluster::Named(cluster.parse().unwrap())
}

#[test]
fn a_cluster_that_is_not_named_is_the_nodes_where_anybody_can_tell_it() {
    let nobody = HashMap::from([("AWS_EC2_METADATA_DISABLED", "true"), ("NODE_NAME", "node-1")]);
    for arguments in [&[][..], &["--cluster-name", ""]] {
        let message = read_with(arguments, &nobody).unwrap_err();
        assert!(message.contains("--cluster-name: is required, allowed is a name of 1 to 100"), "{message}");

        let of_node = read_with(arguments, &HashMap::new()).unwrap().cluster;
        assert_eq!(of_node, Cluster::OfNode(Informants { instance_metadata: true, node: None }));
    }
    let in_cluster = [nobody.clone(), HashMap::from([("KUBERNETES_SERVICE_HOST", "10.0.0.1")])];
    let Cluster::OfNode(informants) =
        read_with(&[], &in_cluster.into_iter().flatten().collect()).unwrap().cluster
    else {
        panic!("nobody has named a cluster")
    };
    assert!(!informants.instance_metadata);
    let (api_server, node) = informants.node.unwrap();
    assert_eq!((api_server.url.as_str(), node.as_str()), ("https://10.0.0.1:443", "node-1"));
    assert!(
        read_with(&["-c", "my cluster"], &HashMap::new())
            .unwrap_err()
            .contains("--cluster-name: \"my cluster\"")
    );
}

#[test]
fn nothing_but_the_cluster_is_needed_and_the_rest_is_as_awss_agent_has_it() {
    let settings = read(&["--cluster-name", "prod"]).unwrap();
    assert_eq!(settings.cluster, named("prod"));
    assert_eq!((settings.port, settings.probe_port, settings.metrics_port), (80, 2703, 2705));
    assert_eq!(settings.metrics_address, IpAddr::from([0, 0, 0, 0]));
    assert_eq!(settings.retention, Duration::from_secs(10_800));
    assert_eq!((settings.max_cache_size, settings.max_service_qps), (2_000, 3));
    assert_eq!(settings.bind_hosts, bind_hosts::default());
    assert!(!settings.rotate_credentials && settings.endpoint.is_none());
    assert_eq!(settings.warnings(), Vec::<String>::new());
}

#[test]
fn the_arguments_of_awss_chart_are_understood_word_for_word() {
    let chart = [
        "--port",
        "80",
        "--cluster-name",
        "prod",
        "--probe-port",
        "2703",
        "--rotate-credentials",
        "true",
        "-b",
        "169.254.170.23",
        "--metrics-port",
        "2705",
        "-v",
        "trace",
    ];
    let settings = read(&chart).unwrap();
    assert!(settings.rotate_credentials);
    assert_eq!(settings.bind_hosts, [BindHost { address: AWS_IPV4.into(), required: true }]);
    assert_eq!(settings.verbosity, "trace".parse().unwrap());
}

#[test]
fn flags_take_the_forms_that_gos_flags_take() {
    for arguments in [
        &["-c=prod", "-p=8080", "--rotate-credentials=true"][..],
        &["-cprod", "-p8080", "--rotate-credentials=T"],
        &["--cluster-name=prod", "--port=8080", "--rotate-credentials"],
        &["-c", "staging", "-c", "prod", "-p", "8080", "--rotate-credentials=1"],
    ] {
        let settings = read(arguments).unwrap();
        assert_eq!((settings.cluster, settings.port), (named("prod"), 8080), "{arguments:?}");
        assert!(settings.rotate_credentials, "{arguments:?}");
    }
    assert!(!read(&["-c", "prod", "--rotate-credentials=false"]).unwrap().rotate_credentials);
}

#[test]
fn one_message_names_every_wrong_setting_what_was_given_and_what_is_allowed() {
    let arguments = [
        "--port",
        "70000",
        "--max-cache-size",
        "-1",
        "--max-service-qps",
        "0",
        "-b",
        "10.0.0.1",
        "-b",
        "home",
        "--max-credential-retention-before-renewal",
        "3 hours",
        "--endpoint",
        "eks",
        "-v",
        "loud",
        "--rotate-credentials=perhaps",
        "--metrics-address",
        "here",
        "--hold-timeout",
        "0",
    ];
    let nobody_tells = HashMap::from([("AWS_EC2_METADATA_DISABLED", "true")]);
    let message = read_with(&arguments, &nobody_tells).unwrap_err();
    for part in [
        "--cluster-name: is required, allowed is a name of 1 to 100",
        "--port: \"70000\" was given, allowed is a whole number from 0 to 65535",
        "--max-cache-size: \"-1\" was given, allowed is a whole number from 0",
        "--max-service-qps: \"0\" was given, allowed is a whole number from 1",
        "--bind-hosts: \"10.0.0.1\" was given, allowed is a loopback or link-local",
        "--bind-hosts: \"home\" was given, allowed is an IP address",
        "--max-credential-retention-before-renewal: \"3 hours\" was given, allowed is a duration such as",
        "--endpoint: \"eks\" was given, allowed is a URL",
        "--verbosity: \"loud\" was given, allowed is one of panic",
        "--rotate-credentials: \"perhaps\" was given, allowed is true or false",
        "--metrics-address: \"here\" was given, allowed is an IP address",
        "--hold-timeout: \"0\" was given, allowed is a duration longer than 0",
    ] {
        assert!(message.contains(part), "{part} is missing in:\n{message}");
    }
    assert_eq!(message.lines().count(), 13);
}

#[test]
fn an_empty_bind_host_means_the_ipv4_address_alone() {
    for arguments in [&["-b", ""][..], &["--bind-hosts="]] {
        let settings = read(&[&["-c", "prod"], arguments].concat()).unwrap();
        assert_eq!(settings.bind_hosts, [BindHost { address: AWS_IPV4.into(), required: true }]);
    }
}

#[test]
fn bind_hosts_are_repeated_or_separated_by_commas_with_or_without_brackets() {
    let wanted = [AWS_IPV4.into(), AWS_IPV6.into()].map(|address| BindHost { address, required: true });
    for arguments in [
        &["-b", "169.254.170.23", "-b", "[fd00:ec2::23]"][..],
        &["-b", "169.254.170.23,fd00:ec2::23"],
        &["-b", "169.254.170.23", "-b", "fd00:ec2::23", "-b", "fd00:ec2::23"],
    ] {
        assert_eq!(read(&[&["-c", "prod"], arguments].concat()).unwrap().bind_hosts, wanted);
    }
}

#[test]
fn an_address_that_others_can_reach_needs_an_explicit_word() {
    assert!(read(&["-c", "prod", "-b", "0.0.0.0"]).unwrap_err().contains("--allow-public-bind"));
    assert!(read(&["-c", "prod", "-b", "0.0.0.0", "--allow-public-bind"]).is_ok());
}

#[test]
fn unknown_flags_name_the_nearest_known_one() {
    for (given, nearest) in [
        ("--clustername", "--cluster-name"),
        ("--bind-host", "--bind-hosts"),
        ("--renewal", "--max-credential-retention"),
    ] {
        let message = read(&["-c", "prod", given, "x"]).unwrap_err();
        assert!(message.contains(given) && message.contains(nearest), "{message}");
    }
}

#[test]
fn the_environment_tells_how_aws_is_reached_and_a_wrong_bundle_ends_the_start() {
    let environment = HashMap::from([
        ("NODE_NAME", "node-1"),
        ("AWS_EC2_METADATA_DISABLED", "TRUE"),
        ("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128"),
    ]);
    let settings = read_with(&["-c", "prod"], &environment).unwrap();
    assert_eq!(settings.node_name.as_deref(), Some("node-1"));
    assert!(!settings.instance_metadata);

    let wrong =
        HashMap::from([("AWS_CA_BUNDLE", "/nonexistent.pem"), ("https_proxy", "http://user:hunter2@ x")]);
    let message = read_with(&["-c", "prod"], &wrong).unwrap_err();
    assert!(message.contains("AWS_CA_BUNDLE") && message.contains("HTTPS_PROXY"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn settings_that_can_hardly_be_meant_are_warned_about_but_work() {
    let slow = read(&[
        "-c",
        "prod",
        "--max-cache-size",
        "20000",
        "--max-service-qps",
        "1",
        "--hold-timeout",
        "1s",
        "--max-credential-retention-before-renewal",
        "1h",
    ])
    .unwrap();
    assert_eq!(slow.warnings().len(), 2, "{:?}", slow.warnings());
}
