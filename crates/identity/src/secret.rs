//! The one type that holds secrets. It prints as stars, compares in constant time and is wiped on drop.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes nobody may see: a service account token, a secret access key, a session token, a private key.
///
/// `Debug` prints `***`; there is no `Display` and no `Serialize`, so leaking one takes a visible call to
/// [`Secret::expose`] or [`Secret::expose_str`]. The bytes are overwritten with zeros when the value is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The secret itself. Each call site is a place to review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text; empty if it is not UTF-8 (only secrets made from text are asked for as text).
    pub fn expose_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many bytes it has. Lengths are not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(mut text: String) -> Self {
        // `into_boxed_str` may copy into a smaller allocation and free the old one unwiped; so copy and wipe ourselves.
        let secret = Self::from(text.as_str());
        text.zeroize();
        secret
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_whatever_it_holds() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "***");
        assert_eq!(format!("{:#?}", Secret::from("")), "***");
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Secret::from("a"), Secret::from("a".to_owned()));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("ab"));
    }

    #[test]
    fn text_that_is_not_utf8_is_never_exposed_as_text() {
        assert_eq!(Secret::from(&[0xff, 0xfe][..]).expose_str(), "");
    }
}
