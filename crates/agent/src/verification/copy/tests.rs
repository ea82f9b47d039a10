use std::os::unix::fs::PermissionsExt;

use testkit::SigningKey;
use testkit::signing::key_set;

use super::*;
use crate::verification::tests::FakeSource;

const NOON: SystemTime = SystemTime::UNIX_EPOCH;
const DAY: Duration = Duration::from_secs(86_400);

/// A keyring over one source that holds what `document` says.
fn keyring(document: Option<&str>) -> Keyring {
    let keyring = Keyring::new(vec![FakeSource::named("api")], DAY);
    if let Some(document) = document {
        let set = KeySet::read(Some("https://issuer.example".to_owned()), document.into(), Reliance::Whole);
        keyring.slots[0].hold(set.unwrap(), NOON + DAY);
    }
    keyring
}

async fn written(path: &Path) -> String {
    let document = key_set([&SigningKey::ec("k1")]);
    Copy::at(path.to_owned()).write(&keyring(Some(&document))).await;
    document
}

#[tokio::test]
async fn keys_come_back_from_disk_as_old_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let document = written(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = keyring(None);
    Copy::at(path.clone()).restore(&restored, NOON + DAY * 2);
    let held = restored.slots[0].held().unwrap();
    assert_eq!((held.set.document.as_slice(), held.fetched), (document.as_bytes(), NOON + DAY));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    // A clock that was set back: not older than nothing.
    let restored = keyring(None);
    Copy::at(path).restore(&restored, NOON);
    assert_eq!(restored.slots[0].held().unwrap().fetched, NOON);
}

#[tokio::test]
async fn a_copy_that_others_could_have_written_or_that_is_damaged_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let unused = |path: &Path| {
        let restored = keyring(None);
        Copy::at(path.to_owned()).restore(&restored, NOON + DAY);
        restored.slots[0].held().is_none()
    };
    assert!(unused(&path), "there is none");
    written(&path).await;
    assert!(!unused(&path));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Copy::at(path.clone()).read(), Err(CopyError::NotOurs { mode: 0o644, .. })));
    assert!(unused(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(unused(&link), "a link may lead anywhere");

    let text = fs::read(&path).unwrap();
    for damaged in [&text[..text.len() / 2], b"", b"{\"format\":2,\"sources\":[]}"] {
        fs::write(&path, damaged).unwrap();
        assert!(unused(&path), "{}", String::from_utf8_lossy(damaged));
    }
    // And the next good keys put it right.
    written(&path).await;
    assert!(!unused(&path));
}

#[tokio::test]
async fn a_copy_is_replaced_whole_also_over_what_a_crash_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(folder.path().join("keys.next"), "half a f").unwrap();
    let document = written(&path).await;
    let restored = keyring(None);
    Copy::at(path).restore(&restored, NOON + DAY);
    assert_eq!(restored.slots[0].held().unwrap().set.document, document.as_bytes());
}

#[tokio::test]
async fn keys_of_another_source_are_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    written(&path).await;
    let other = Keyring::new(vec![FakeSource::named("another api")], DAY);
    Copy::at(path).restore(&other, NOON + DAY);
    assert!(other.slots[0].held().is_none());
}
