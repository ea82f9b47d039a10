use super::*;

fn line(text: &str) -> Result<Asked, String> {
    let words = text.split(' ').filter(|word| !word.is_empty()).map(OsString::from);
    read([OsString::from("pod-identity")].into_iter().chain(words)).map_err(|error| error.to_string())
}

fn dev(text: &str) -> Dev {
    match line(text) {
        Ok(Asked::Dev(dev)) => *dev,
        other => panic!("{other:?}"),
    }
}

#[test]
fn dev_alone_starts_a_system_with_documented_defaults() {
    let Dev { start, errand } = dev("dev");
    assert!(errand.is_none());
    assert_eq!((start.cluster.as_str(), start.region.as_str()), ("dev", "us-west-2"));
    assert_eq!(start.account.as_str(), "111122223333");
    assert_eq!((start.agent_port, start.api_port, start.metrics_port), (17023, 17024, 17025));
    assert_eq!((start.session_duration, start.verbosity), (Duration::from_secs(21_600), Verbosity::WARN));
    assert_eq!(start.max_associations, 5_000);
    assert_eq!((start.sts, start.signing_key), (None, None));
    assert_eq!((start.ephemeral, start.data.data), (false, None));
}

#[test]
fn a_pairing_is_a_service_account_and_its_role() {
    let start = dev("dev --associate shop/web=arn:aws:iam::111122223333:role/a=b --associate s/w=arn:aws:iam::111122223333:role/w")
        .start;
    assert_eq!(start.associate.len(), 2);
    assert_eq!(start.associate[0].account.service_account, "web");
    assert_eq!(start.associate[0].role_arn.name(), "a=b");
}

#[test]
fn values_that_cannot_be_used_are_refused_with_what_is_allowed() {
    for (text, wanted) in [
        ("dev --cluster=-x", "letters, digits, hyphens and underscores"),
        ("dev --cluster a/b", "letters, digits, hyphens and underscores"),
        ("dev --region US", "a region such as us-west-2"),
        ("dev --account 12", "12 digits"),
        ("dev --agent-port 70000", "70000"),
        ("dev --associate shop=x", "NAMESPACE/SERVICE_ACCOUNT=ROLE_ARN"),
        ("dev --associate shop/web=web", "is not an ARN"),
        ("dev --session-duration 13h", "from 1s to 12h"),
        ("dev --session-duration 0", "from 1s to 12h"),
        ("dev --sts minio", "embedded, aws"),
        ("dev --signing-key ed25519", "rsa, ec"),
        ("dev --sts-endpoint minio", "a URL such as"),
        ("dev --verbosity loud", "one of panic"),
        ("dev token -n shop -s web --lifetime 25h", "from 1s to 24h"),
        ("dev associate -n shop -s web --role-arn web", "is not an ARN"),
        ("dev run -n shop -s web", "CMD"),
        ("dev --asociate x", "--associate"),
        ("dev tokens", "token"),
    ] {
        let error = line(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn doctor_and_explain_say_what_they_look_at() {
    let Ok(Asked::Doctor(doctor)) =
        line("doctor --pid 7 --agent http://[::1]:17023/v1/credentials --output json")
    else {
        panic!("not doctor")
    };
    assert_eq!((doctor.pid, doctor.agent), (Some(7), Some("[::1]:17023".parse().unwrap())));
    assert_eq!(doctor.output, OutputForm::Json);
    let Ok(Asked::Explain(explain)) = line("explain shop/web") else { panic!("not explain") };
    assert_eq!(explain.subject.account.unwrap().service_account, "web");
    for (text, wanted) in [
        ("doctor --agent localhost:17023", "a URL with an address"),
        ("doctor --agent https://127.0.0.1/", "a URL with an address"),
        ("explain", "--token-file"),
        ("explain shop/web --pid 7", "cannot be used with"),
        ("explain shop", "NAMESPACE/SERVICE_ACCOUNT, such as shop/web"),
        ("explain shop/web --agent http://127.0.0.1", "--ask"),
    ] {
        let error = line(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn whatever_follows_two_dashes_belongs_to_the_program() {
    let Some(Errand::Run(run)) = dev("dev run -n shop -s web --pod web-1 -- aws s3 ls --data x").errand
    else {
        panic!("not a run")
    };
    assert_eq!(run.command, ["aws", "s3", "ls", "--data", "x"]);
    assert_eq!((run.pod.as_deref(), run.data.data), (Some("web-1"), None));
}

#[test]
fn the_command_is_well_formed() {
    use clap::CommandFactory;
    Line::command().debug_assert();
}
