//! The kernel ring: `initialize` and the agent under kernels that the machine of the tests has not: with and without the dummy driver and
//! IPv6, booted in three seconds as User-Mode Linux on the machine's own file system. The guest runs this same program.
//!
//! Needs root and Debian's packages user-mode-linux, kmod and iproute2.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::TokenBuilder;
use testkit::eks_auth_server::{EksAuthServer, Reply};
use testkit::process::{AgentProcess, Start};
use testkit::rights;
use testkit::wire::ask_for_credentials;

const BINARY: &str = env!("CARGO_BIN_EXE_eks-pod-identity-agent");
const KERNEL: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";
const IPV4: &str = "169.254.170.23:80";
const IPV6: &str = "[fd00:ec2::23]:80";

/// A boot takes three seconds, and so does what is done then; a busy machine may take ten times as long.
const PATIENCE_SECONDS: &str = "120";

/// Boots a kernel, loads these modules, runs `setup` in a shell and then the test `guest` of this program. Its output must say
/// that it passed.
fn boot(name: &str, modules: &[&str], setup: &str, guest: &str) {
    if let Err(missing) = is_there(KERNEL).and_then(|()| is_there(MODULES)).and_then(|()| is_root()) {
        return rights::missing(name, "to boot a kernel (packages user-mode-linux and kmod, root)", &missing);
    }
    let folder = tempfile::tempdir().unwrap();
    // modprobe looks below lib/modules.
    std::fs::create_dir(folder.path().join("lib")).unwrap();
    symlink(MODULES, folder.path().join("lib/modules")).unwrap();
    let modprobe = modules
        .iter()
        .map(|module| {
            format!("modprobe -d {} {module} || echo no module {module}\n", folder.path().display())
        })
        .collect::<String>();
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=true\n\
         mount -t proc proc /proc\nmount -t sysfs sys /sys\nip link set lo up\n{modprobe}{setup}\n\
         {} --exact {guest} --ignored --nocapture --test-threads 1 2>&1\n\
         echo o > /proc/sysrq-trigger\nsleep 30\n",
        program.display()
    );
    let init = folder.path().join("init");
    std::fs::write(&init, script).unwrap();
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755)).unwrap();
    let init = format!("init={}", init.display());
    let arguments =
        ["mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", &init, "con=null", "con0=null,fd:1", "quiet"];
    let output = Command::new("timeout")
        .args(["--kill-after=5", PATIENCE_SECONDS, KERNEL])
        .args(arguments)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}

fn is_there(path: &str) -> Result<(), String> {
    if Path::new(path).exists() { Ok(()) } else { Err(format!("{path} is not there")) }
}

fn is_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("this user is not root".to_owned()) }
}

#[test]
fn a_kernel_with_dummy_devices_and_ipv6() {
    boot("dummy", &["dummy", "ipv6"], "", "guest_with_both_families");
}

#[test]
fn a_kernel_without_the_ipv6_module() {
    boot("no-ipv6", &["dummy"], "", "guest_with_ipv4_alone");
}

#[test]
fn a_kernel_whose_ipv6_is_switched_off() {
    let off = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
    boot("ipv6-off", &["dummy", "ipv6"], off, "guest_with_ipv4_alone");
}

#[test]
fn a_kernel_without_the_dummy_driver_gets_a_bridge() {
    // As on a host that has no such module: nothing may load it behind our back.
    let nothing = "echo /bin/false > /proc/sys/kernel/modprobe";
    boot("bridge", &["bridge", "ipv6"], nothing, "guest_with_a_bridge");
}

#[test]
fn a_kernel_without_either_driver_is_told_apart_from_a_lack_of_rights() {
    let nothing = "echo /bin/false > /proc/sys/kernel/modprobe";
    boot("neither", &["ipv6"], nothing, "guest_without_drivers");
}

/// Runs `initialize` to its end: whether it did its work, and all it wrote.
fn initialize(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(BINARY).arg("initialize").args(arguments).env_clear().output().unwrap();
    let written = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(written).unwrap())
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// `initialize` makes a link of this kind, once, and the agent answers pods on these addresses.
async fn is_served(kind: &str, addresses: &[&str]) {
    let (done, before) = initialize(&["--check"]);
    assert!(!done && before.contains("missing: make the link"), "{before}");
    let (done, log) = initialize(&[]);
    assert!(done, "{log}");
    let link = ip("-d link show dev pod-id-link0");
    assert!(link.contains(kind) && link.contains(",UP"), "{link}");
    let made = ip("address show dev pod-id-link0");
    let (done, again) = initialize(&["--verbosity", "info"]);
    assert!(done && again.contains("\"steps\":0"), "{again}");
    assert_eq!(ip("address show dev pod-id-link0"), made);
    let (done, after) = initialize(&["--check"]);
    assert!(done, "{after}");

    let upstream = EksAuthServer::start([], Reply::Issue(Duration::ZERO)).await;
    let url = upstream.url();
    let environment = HashMap::new();
    let agent = AgentProcess::start_on_node(Start {
        binary: BINARY,
        upstream: Some(&url),
        arguments: &[],
        environment,
    })
    .await;
    // Made once: made in another second, it would be another token.
    let token = TokenBuilder::made_now("web-0");
    for address in addresses {
        let answer = ask_for_credentials(address.parse().unwrap(), &token).await;
        assert_eq!(answer.status, 200, "{address}: {answer:?}");
    }
    assert_eq!(agent.probe("/readyz").await.status, 200);
    assert_eq!(upstream.count(), 1);
    let is_without = agent.log().contains("this node has no such address");
    assert_eq!(is_without, addresses.len() == 1, "{}", agent.log());
    agent.leaks_nothing().await;
}

#[tokio::test]
#[ignore = "runs in a kernel of its own"]
async fn guest_with_both_families() {
    is_served("dummy", &[IPV4, IPV6]).await;
}

#[tokio::test]
#[ignore = "runs in a kernel of its own"]
async fn guest_with_ipv4_alone() {
    is_served("dummy", &[IPV4]).await;
}

#[tokio::test]
#[ignore = "runs in a kernel of its own"]
async fn guest_with_a_bridge() {
    is_served("bridge", &[IPV4, IPV6]).await;
}

#[test]
#[ignore = "runs in a kernel of its own"]
fn guest_without_drivers() {
    let (done, log) = initialize(&[]);
    assert!(!done && log.contains("dummy") && !log.contains("NET_ADMIN"), "{log}");
}
