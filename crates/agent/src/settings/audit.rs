//! Where each answer is recorded, and how much room that may take.

use super::mistakes::Reader;
use crate::audit::AuditTarget;
use crate::command::ServerFlags;

const MIB: u64 = 1024 * 1024;

/// The audit log, if one is asked for.
pub(super) fn read(flags: &ServerFlags, reader: &mut Reader) -> Option<AuditTarget> {
    let (mut mebibytes, mut files) = (64, 4);
    reader.set_within("--audit-max-size", flags.audit_max_size.as_deref(), &mut mebibytes, 1..=1_000_000);
    reader.set_within("--audit-files", flags.audit_files.as_deref(), &mut files, 1..=1_000);
    match flags.audit_log.as_deref().filter(|path| !path.is_empty())? {
        "-" => Some(AuditTarget::Stdout),
        path => Some(AuditTarget::File { path: path.into(), longest: mebibytes * MIB, files }),
    }
}
