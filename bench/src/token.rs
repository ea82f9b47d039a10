//! Service account tokens as the API server projects them, in form and size; the signature is noise.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::moment;

/// The size of a token in bytes, that of a real one.
pub(crate) const SIZE: usize = 1184;
const DAY: u64 = 86_400;

/// Makes tokens, each of another pod.
pub(crate) struct Tokens {
    noise: Noise,
    made: usize,
}

impl Tokens {
    /// A source whose tokens no other run has made.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { noise: Noise::new()?, made: 0 })
    }

    /// Tokens of `count` new pods.
    pub(crate) fn take(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.one()).collect()
    }

    /// A token of a new pod.
    pub(crate) fn one(&mut self) -> String {
        self.made += 1;
        let now = moment::epoch_seconds();
        let claims = json!({
            "iss": "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
            "aud": ["pods.eks.amazonaws.com"],
            "exp": now + DAY,
            "iat": now,
            "nbf": now,
            "kubernetes.io": {
                "namespace": "bench",
                "serviceaccount": { "name": "bench", "uid": self.noise.uuid() },
                "pod": { "name": format!("bench-{:05}", self.made), "uid": self.noise.uuid() },
            },
        });
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        // Base64 has no text of 4n+1 characters; a longer key id makes another remainder.
        for key_id in ["bench-key", "bench-key-1"] {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "RS256", "kid": key_id }).to_string());
            let left = SIZE - header.len() - claims.len() - 2;
            if left % 4 != 1 {
                let signature = URL_SAFE_NO_PAD.encode(self.noise.bytes(left * 3 / 4));
                return format!("{header}.{claims}.{signature}");
            }
        }
        unreachable!("key ids two characters apart leave different remainders")
    }
}

/// Random numbers that need not be secret (SplitMix64).
pub(crate) struct Noise(u64);

impl Noise {
    /// Seeded by the kernel.
    pub(crate) fn new() -> Result<Self> {
        let mut seed = [0; 8];
        let mut source = File::open("/dev/urandom").context("/dev/urandom cannot be opened")?;
        source.read_exact(&mut seed).context("/dev/urandom cannot be read")?;
        Ok(Self(u64::from_le_bytes(seed)))
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).take(count).collect()
    }

    /// `count` characters of the base64url alphabet.
    pub(crate) fn text(&mut self, count: usize) -> String {
        let mut text = URL_SAFE_NO_PAD.encode(self.bytes(count));
        text.truncate(count);
        text
    }

    /// The same things in another order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, (self.number() % (last as u64 + 1)) as usize);
        }
    }

    /// A random UUID (version 4).
    fn uuid(&mut self) -> String {
        let (high, low) = (self.number(), self.number());
        let (time, middle, version) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (variant, node) = ((low >> 48) & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{time:08x}-{middle:04x}-4{version:03x}-{variant:04x}-{node:012x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_the_size_and_the_form_of_a_real_one_and_is_of_another_pod() {
        let mut tokens = Tokens::new().unwrap();
        let mut pods = std::collections::HashSet::new();
        for token in tokens.take(50) {
            assert_eq!(token.len(), SIZE);
            let parts: Vec<&str> = token.split('.').collect();
            assert_eq!(parts.len(), 3);
            let parts: Vec<Vec<u8>> =
                parts.iter().map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
            let claims: serde_json::Value = serde_json::from_slice(&parts[1]).unwrap();
            let uid = claims["kubernetes.io"]["pod"]["uid"].as_str().unwrap().to_owned();
            assert_eq!(uid.len(), 36);
            pods.insert(uid);
        }
        assert_eq!(pods.len(), 50);
    }
}
