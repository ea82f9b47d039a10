//! Access keys as AWS makes them: an id that says of what kind it is and whose, and a secret of 40 characters.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::{AccountId, Secret};
use sha2::{Digest, Sha256};

/// The alphabet of RFC 4648's base32, which AWS's ids are written in.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An access key id and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The id, which travels with every request in the clear.
    pub id: String,
    /// The secret, which signs and never travels.
    pub secret: Secret,
}

impl AccessKey {
    /// A key without an end, as users have them (`AKIA…`).
    pub fn long_term(account: &AccountId) -> Self {
        Self::random("AKIA", account)
    }

    /// A key that goes with a session token (`ASIA…`).
    pub fn temporary(account: &AccountId) -> Self {
        Self::random("ASIA", account)
    }

    fn random(kind: &str, account: &AccountId) -> Self {
        let secret: [u8; 30] = rand::random();
        Self { id: id(kind, account, rand::random()), secret: Secret::from(STANDARD.encode(secret)) }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The id of a role (`AROA…`): 17 characters that are the same whenever the same ARN is asked for.
pub(crate) fn role_id(role_arn: &str) -> String {
    let digest = Sha256::digest(role_arn);
    format!("AROA{}", base32(&digest).take(17).collect::<String>())
}

/// `kind` and 16 characters. As in AWS's ids, bits 7 to 46 of the first six bytes are the account number and bit 47 is
/// set, so that tools which read the account from a key id find the right one. The rest is random.
fn id(kind: &str, account: &AccountId, random: [u8; 10]) -> String {
    let account: u64 = account.as_str().parse().unwrap_or_default();
    let lowest_bits = u64::from(random[5] & 0x7f);
    let owner = (1 << 47 | account << 7 | lowest_bits).to_be_bytes();
    let mut bytes = random;
    bytes[..6].copy_from_slice(&owner[2..]);
    format!("{kind}{}", base32(&bytes).collect::<String>())
}

/// The text of `bytes`, five bits a character; bits that fill no character are left out.
fn base32(bytes: &[u8]) -> impl Iterator<Item = char> + '_ {
    let bit = |index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    (0..bytes.len() * 8 / 5).map(move |character| {
        let choice = (0..5).fold(0, |choice, offset| choice << 1 | bit(character * 5 + offset));
        char::from(BASE32[usize::from(choice)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        "111122223333".parse().unwrap()
    }

    #[test]
    fn keys_have_the_shape_of_awss() {
        for (key, kind) in
            [(AccessKey::long_term(&account()), "AKIA"), (AccessKey::temporary(&account()), "ASIA")]
        {
            let tail = key.id.strip_prefix(kind).unwrap();
            assert!(tail.len() == 16 && tail.bytes().all(|byte| BASE32.contains(&byte)), "{}", key.id);
            let secret = key.secret.expose_str();
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
            assert!(secret.len() == 40 && secret.bytes().all(is_base64), "{} characters", secret.len());
        }
    }

    #[test]
    fn a_key_id_tells_its_account_as_awss_do() {
        // Worked out by hand from the published decoding of AWS's key ids: base32, mask 0x7fffffffff80, shift by 7.
        let id = id("ASIA", &account(), [0xff; 10]);
        let value = id[4..].bytes().take(10).fold(0_u64, |value, byte| {
            value << 5 | BASE32.iter().position(|letter| *letter == byte).unwrap() as u64
        });
        assert_eq!((value >> 2 & 0x7fff_ffff_ff80) >> 7, 111_122_223_333);
        assert!(id[4..5] >= *"Q", "AWS's newer ids begin with Q or later: {id}");
    }

    #[test]
    fn no_two_keys_are_the_same_and_none_is_printed() {
        let (one, other) = (AccessKey::long_term(&account()), AccessKey::long_term(&account()));
        assert!(one.id != other.id && one.secret != other.secret);
        assert!(!format!("{one:?}").contains(one.secret.expose_str()));
    }

    #[test]
    fn a_role_has_one_id_of_21_characters() {
        let arn = "arn:aws:iam::111122223333:role/web";
        assert_eq!(role_id(arn), role_id(arn));
        assert_eq!(role_id(arn).len(), 21);
        assert_ne!(role_id(arn), role_id("arn:aws:iam::111122223333:role/api"));
    }
}
