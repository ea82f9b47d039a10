//! Namespaces: a thread of its own is a node of its own, with nothing but loopback, and with mounts of its own. Needs root.

use std::future::Future;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::rights;

/// Runs `test` on a thread in fresh namespaces of network and mounts after `setup`, a list of shell commands, has run there.
/// Sockets and child processes that the test makes belong to them, and so do mounts; all is gone when they are.
///
/// Without the rights for it, the test fails under `CI=true` and is otherwise skipped, by name and on stderr.
pub fn in_namespace<F: Future<Output = ()>>(name: &str, setup: &[&str], test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let node = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            if let Err(error) = enter_new_namespace() {
                return rights::missing(name, "to make namespaces", &error);
            }
            // Mounts that are made in here stay in here.
            shell(&["ip link set lo up", "mount --make-rprivate /"]);
            // The machine may have names of its own there, and so may tests that run beside this one.
            shell(&["mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns"]);
            shell(setup);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
        if let Err(panic) = node.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[expect(unsafe_code, reason = "no crate offers namespaces without it")]
fn enter_new_namespace() -> std::io::Result<()> {
    // SAFETY: these namespaces move this thread only, and the thread ends with the test; no file descriptor or
    // memory is shared differently afterwards.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }?;
    Ok(())
}

/// A further network namespace beside the test's own: a pod, or another node. Only within [`in_namespace`], whose mounts hold
/// its name.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// With nothing but loopback.
    pub fn add(name: &str) -> Self {
        shell(&[&format!("ip netns add {name}")]);
        let namespace = Self { name: name.to_owned() };
        namespace.shell(&["ip link set lo up"]);
        namespace
    }

    /// Adds a pair of links: `here` in the calling thread's namespace, `there` in this one. Both are up.
    pub fn link(&self, here: &str, there: &str) {
        shell(&[
            &format!("ip link add {here} type veth peer name {there} netns {}", self.name),
            &format!("ip link set {here} up"),
        ]);
        self.shell(&[&format!("ip link set {there} up")]);
    }

    /// Runs shell commands in it; each must succeed.
    pub fn shell(&self, commands: &[&str]) {
        for command in commands {
            let net = format!("--net=/run/netns/{}", self.name);
            let status = Command::new("nsenter").args([&net, "sh", "-ec", command]).status().unwrap();
            assert!(status.success(), "{}: {command}: {status}", self.name);
        }
    }

    /// Runs a job in it, on a thread and runtime of its own: sockets and child processes that it makes belong there.
    pub async fn run<T: Send + 'static, F: Future<Output = T>>(
        &self,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> T {
        let (done, result) = oneshot::channel();
        let name = self.name.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let file = std::fs::File::open(format!("/run/netns/{name}")).unwrap();
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
                .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // Nobody waits any more when the test has failed meanwhile.
            let _ = done.send(runtime.block_on(job()));
        });
        match result.await {
            Ok(result) => result,
            Err(_) => std::panic::resume_unwind(thread.unwrap().join().unwrap_err()),
        }
    }
}

/// Runs shell commands in the calling thread's namespaces; each must succeed.
///
/// # Panics
/// When one does not.
pub fn shell(commands: &[&str]) {
    for command in commands {
        let status = Command::new("sh").args(["-ec", command]).status().unwrap();
        assert!(status.success(), "{command}: {status}");
    }
}
