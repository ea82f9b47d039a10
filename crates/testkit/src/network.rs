//! Namespaces: a thread of its own is a node of its own, with nothing but loopback, and with mounts of its own. Needs root.

use std::future::Future;
use std::process::Command;

use rustix::thread::UnshareFlags;

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
            for command in ["ip link set lo up", "mount --make-rprivate /"].iter().chain(setup) {
                let status = Command::new("sh").args(["-ec", command]).status().unwrap();
                assert!(status.success(), "{name}: {command}: {status}");
            }
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
