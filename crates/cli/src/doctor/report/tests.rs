use super::*;

fn report() -> Report {
    Report::new(vec![
        Finding::ok(Cause::Link, "pod-id-link0 is as it should be"),
        Finding::error(Cause::PortTaken, "nginx has port 80", "stop nginx\nthen restart the agent"),
        Finding::warning(Cause::PodProfile, "AWS_PROFILE is set", "unset it"),
    ])
}

#[test]
fn people_read_themes_reasons_and_remedies_and_a_summary_at_the_end() {
    let text = report().text(false);
    assert_eq!(
        text,
        "node\n  ok       pod-id-link0 is as it should be\nagent\n  error    port-taken: nginx has port 80\n           why: \
         pods send their tokens to a server that is not the agent, and get no credentials\n           fix: stop nginx\n                \
         then restart the agent\npod\n  warning  pod-profile: AWS_PROFILE is set\n           why: SDKs take what this profile says \
         before they ask for the pod's role, and most fail if there is no such profile\n           fix: unset it\n\n1 error, 1 warning: \
         port-taken, pod-profile"
    );
    assert!(!text.contains('\u{1b}'));
    assert!(report().text(true).contains("\u{1b}[31merror  \u{1b}[0m"));
}

#[test]
fn programs_read_a_schema_that_says_its_version() {
    let document: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(
        (&document["errors"], &document["warnings"], &document["notes"]),
        (&1.into(), &1.into(), &0.into())
    );
    let taken = &document["findings"][1];
    assert_eq!(taken["id"], "port-taken");
    assert_eq!((taken["theme"].as_str(), taken["severity"].as_str()), (Some("agent"), Some("error")));
    assert!(taken["remedy"].as_str().unwrap().starts_with("stop nginx"));
}

#[test]
fn the_exit_code_is_the_worst_finding() {
    let code = |findings| format!("{:?}", Report::new(findings).code());
    let number = |code: u8| format!("{:?}", ExitCode::from(code));
    let note = Finding::note(Cause::FirewallUnknown, "", "");
    let warning = Finding::warning(Cause::PodProfile, "", "");
    assert_eq!(code(vec![note.clone()]), number(0));
    assert_eq!(code(vec![note, warning.clone()]), number(1));
    assert_eq!(code(vec![warning, Finding::error(Cause::PortTaken, "", "")]), number(2));
    assert!(Report::new(Vec::new()).text(false).ends_with("nothing is wrong, as far as was looked"));
}

#[test]
fn docs_doctor_names_exactly_the_causes_there_are_with_their_reasons() {
    let page = include_str!("../../../../../docs/doctor.md");
    let table = page.split_once("## What it finds").unwrap().1.split_once("## JSON").unwrap().0;
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.collect::<Vec<_>>()))
    });
    let documented: Vec<(&str, Vec<&str>)> = rows.collect();
    let ids: Vec<&str> = documented.iter().map(|(id, _)| *id).collect();
    let known: Vec<&str> = Cause::ALL.iter().map(|cause| cause.id()).collect();
    assert_eq!(ids, known);
    for (cause, (_, cells)) in Cause::ALL.iter().zip(documented) {
        assert!(cells.contains(&cause.why()), "{}: docs/doctor.md has another reason: {cells:?}", cause.id());
    }
}
