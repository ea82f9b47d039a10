//! Amazon Resource Names, and the ones of IAM roles in particular.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not the ARN that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArnError {
    /// The text does not have the six parts of an ARN.
    #[error("\"{given}\" is not an ARN: it needs six parts, arn:partition:service:region:account:resource")]
    Shape {
        /// What was given, cut to a printable length.
        given: String,
    },
    /// The account part is not twelve digits.
    #[error("\"{given}\" has no account: the fifth part of the ARN must be 12 digits")]
    Account {
        /// What was given, cut to a printable length.
        given: String,
    },
    /// The ARN is fine, but not of an IAM role.
    #[error("\"{given}\" is not the ARN of an IAM role, such as arn:aws:iam::111122223333:role/web")]
    NotARole {
        /// What was given, cut to a printable length.
        given: String,
    },
}

/// A twelve-digit AWS account number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ArnError::Account { given: printable(text) })
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Any Amazon Resource Name that belongs to an account.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    text: String,
    account: AccountId,
}

impl Arn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account that owns the resource.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// The service: `iam`, `sts`, `eks`, …
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// Everything after the fifth colon, further colons included.
    pub fn resource(&self) -> &str {
        self.part(5)
    }

    fn part(&self, index: usize) -> &str {
        self.text.splitn(6, ':').nth(index).unwrap_or_default()
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let whole = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
        match parts[..] {
            ["arn", partition, service, _, account, resource]
                if whole && !partition.is_empty() && !service.is_empty() && !resource.is_empty() =>
            {
                let account = account.parse().map_err(|_| ArnError::Account { given: printable(text) })?;
                Ok(Self { text: text.to_owned(), account })
            }
            _ => Err(ArnError::Shape { given: printable(text) }),
        }
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.text
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The ARN of an IAM role: `arn:aws:iam::111122223333:role/path/name`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(Arn);

impl RoleArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The account that owns the role.
    pub fn account(&self) -> &AccountId {
        self.0.account()
    }

    /// The partition the role lives in.
    pub fn partition(&self) -> &str {
        self.0.partition()
    }

    /// The role's name, without its path.
    pub fn name(&self) -> &str {
        self.0.resource().rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let arn: Arn = text.parse()?;
        // IAM role names: up to 64 of these characters (IAM's CreateRole).
        let is_name_character = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        let name =
            arn.resource().strip_prefix("role/").and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let is_role =
            arn.service() == "iam" && (1..=64).contains(&name.len()) && name.bytes().all(is_name_character);
        if is_role { Ok(Self(arn)) } else { Err(ArnError::NotARole { given: printable(text) }) }
    }
}

impl TryFrom<String> for RoleArn {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(role: RoleArn) -> Self {
        role.0.text
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may stand in an error message: control characters replaced, cut after 80 characters.
fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(80)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_arn_knows_its_account_partition_and_name() {
        let role: RoleArn = "arn:aws-cn:iam::111122223333:role/teams/shop/web".parse().unwrap();
        assert_eq!(role.account().as_str(), "111122223333");
        assert_eq!(role.partition(), "aws-cn");
        assert_eq!(role.name(), "web");
    }

    #[test]
    fn texts_that_are_no_role_arn_say_what_is_wrong() {
        for (given, wanted) in [
            ("", "six parts"),
            ("web", "six parts"),
            ("arn:aws:iam::111122223333", "six parts"),
            ("arn:aws:iam::111122223333:", "six parts"),
            ("arn:aws:iam::1111:role/web", "12 digits"),
            ("arn:aws:iam::11112222333x:role/web", "12 digits"),
            ("arn:aws:iam::111122223333:user/web", "not the ARN of an IAM role"),
            ("arn:aws:sts::111122223333:role/web", "not the ARN of an IAM role"),
            ("arn:aws:iam::111122223333:role/", "not the ARN of an IAM role"),
            ("arn:aws:iam::111122223333:role/we:b", "not the ARN of an IAM role"),
            ("arn:aws:iam::111122223333:role/w b", "six parts"),
        ] {
            let error = given.parse::<RoleArn>().unwrap_err();
            assert!(error.to_string().contains(wanted), "{given}: {error}");
        }
    }

    #[test]
    fn the_account_of_an_assumed_role_is_read_from_its_arn() {
        let user: Arn = "arn:aws:sts::111122223333:assumed-role/web/eks-dev-web-0".parse().unwrap();
        assert_eq!(user.account().as_str(), "111122223333");
        assert_eq!(user.resource(), "assumed-role/web/eks-dev-web-0");
    }

    #[test]
    fn hostile_text_is_cut_and_defused_before_it_is_shown() {
        let error = format!("arn\n\u{1b}[31m{}", "x".repeat(500)).parse::<Arn>().unwrap_err().to_string();
        assert!(!error.contains('\n') && !error.contains('\u{1b}') && error.len() < 300, "{error}");
    }
}
