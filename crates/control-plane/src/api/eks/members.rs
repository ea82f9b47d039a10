//! What a request may hold: one table of members for each operation, and the one place that reads requests by them.
//!
//! A member that no table names is ignored, as AWS does; `null` is the same as leaving a member out. All that is wrong with
//! a request is said in one answer.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use identity::RoleArn;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Refusal, decoded};
use crate::issuer::{namespace_name, object_name};
use crate::store::MOST_TAGS;

/// STS takes no longer plain text as a session policy (AssumeRole, `Policy`).
const LONGEST_POLICY: usize = 2_048;

/// The EKS API's `TagKey` and `TagValue`.
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

/// A member of a request.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// What a member must be.
pub(super) enum Kind {
    Namespace,
    ServiceAccount,
    Role,
    /// A role, or an empty text that takes it away.
    RoleOrNothing,
    /// A session policy, or an empty text that takes it away.
    PolicyOrNothing,
    Flag,
    Text {
        longest: usize,
    },
    Count {
        most: u64,
    },
    Tags,
    TagKeys,
}

/// A request that has arrived.
pub(super) struct Request<'a> {
    pub(super) head: &'a Parts,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// What the body holds, by the table.
    pub(super) fn of_body<T: DeserializeOwned>(&self, table: &[Member]) -> Result<T, Refusal> {
        checked(table, self.members_of_body()?)
    }

    /// What the query holds, by the table.
    pub(super) fn of_query<T: DeserializeOwned>(&self, table: &[Member]) -> Result<T, Refusal> {
        checked(table, self.members_of_query(table)?)
    }

    fn members_of_body(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        let content_type =
            self.head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        if content_type.is_some_and(|given| !given.to_ascii_lowercase().contains("json")) {
            let text = "The body must be JSON: send it with Content-Type: application/json.";
            return Err(Refusal::Unreadable(text.to_owned()));
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(other) => Err(Refusal::Unreadable(format!(
                "The body must be a JSON object, not {}: send {{\"member\": value, …}}.",
                article(&other)
            ))),
            Err(error) => Err(Refusal::Unreadable(format!(
                "The body is no JSON from line {} column {} on: send {{\"member\": value, …}}.",
                error.line(),
                error.column()
            ))),
        }
    }

    fn members_of_query(&self, table: &[Member]) -> Result<Map<String, Value>, Refusal> {
        let mut members = Map::new();
        let query = self.head.uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                let text =
                    "The query has percent-encoded bytes that are no UTF-8: encode each name and value anew.";
                return Err(Refusal::Unreadable(text.to_owned()));
            };
            let Some(member) = table.iter().find(|member| member.name == name) else { continue };
            let value = match member.kind {
                Kind::Count { .. } => value.parse::<u64>().map_or(Value::from(value), Value::from),
                _ => Value::from(value),
            };
            match (&member.kind, members.get_mut(&name)) {
                (Kind::TagKeys, None) => members.insert(name, Value::from(vec![value])),
                (Kind::TagKeys, Some(Value::Array(keys))) => {
                    keys.push(value);
                    None
                }
                (_, None) => members.insert(name, value),
                // Twice: a list is what no other kind may be, so the table says so.
                (_, Some(before)) => {
                    *before = Value::from(vec![before.take(), value]);
                    None
                }
            };
        }
        Ok(members)
    }
}

/// The members of the table, each as its kind demands.
fn checked<T: DeserializeOwned>(table: &[Member], mut given: Map<String, Value>) -> Result<T, Refusal> {
    given.retain(|name, value| !value.is_null() && table.iter().any(|member| member.name == name));
    let mistakes: Vec<String> =
        table.iter().filter_map(|member| member.mistake(given.get(member.name))).collect();
    if !mistakes.is_empty() {
        return Err(Refusal::Members(mistakes.join(" ")));
    }
    // The table has refused whatever the type would; should the two ever differ, nothing is done and the caller hears of it.
    serde_json::from_value(Value::Object(given)).map_err(|error| Refusal::Members(format!("{error}.")))
}

impl Member {
    /// What is wrong with what was given for it, as a sentence.
    fn mistake(&self, given: Option<&Value>) -> Option<String> {
        let Self { name, kind, required } = self;
        let expected = kind.expected();
        let Some(value) = given else {
            return required.then(|| format!("{name} is missing: send {expected}."));
        };
        match kind.fault(value) {
            Ok(()) => None,
            Err(Fault::Type) => Some(format!("{name} must be {expected}, not {}.", article(value))),
            Err(Fault::Value(fault)) => Some(format!("{name}: {fault}.")),
        }
    }
}

/// What is wrong with a value.
enum Fault {
    /// It is of another JSON type.
    Type,
    /// This.
    Value(String),
}

impl Kind {
    fn expected(&self) -> &'static str {
        match self {
            Self::Namespace => "the name of a Kubernetes namespace, as a string",
            Self::ServiceAccount => "the name of a Kubernetes service account, as a string",
            Self::Role => "the ARN of an IAM role, as a string",
            Self::RoleOrNothing => "the ARN of an IAM role, or \"\" for none, as a string",
            Self::PolicyOrNothing => "an IAM policy in JSON, or \"\" for none, as a string",
            Self::Flag => "true or false",
            Self::Text { .. } => "a string",
            Self::Count { .. } => "one whole number",
            Self::Tags => "an object of tags, each with a string as its value",
            Self::TagKeys => "keys of tags",
        }
    }

    fn fault(&self, value: &Value) -> Result<(), Fault> {
        let fault = |text: String| Err(Fault::Value(text));
        match self {
            Self::Flag => value.as_bool().map(|_| ()).ok_or(Fault::Type),
            Self::Count { most } => match value.as_u64().ok_or(Fault::Type)? {
                count if (1..=*most).contains(&count) => Ok(()),
                _ => fault(format!("send a number from 1 to {most}")),
            },
            Self::Tags => tags(value.as_object().ok_or(Fault::Type)?),
            Self::TagKeys => tag_keys(value.as_array().ok_or(Fault::Type)?),
            _ => self.fault_of_text(value.as_str().ok_or(Fault::Type)?).map_err(Fault::Value),
        }
    }

    fn fault_of_text(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Namespace => namespace_name(text).map(|_| ()).map_err(|error| error.to_string()),
            Self::ServiceAccount => {
                object_name("service account", text).map(|_| ()).map_err(|error| error.to_string())
            }
            Self::RoleOrNothing | Self::PolicyOrNothing if text.is_empty() => Ok(()),
            Self::Role | Self::RoleOrNothing => {
                text.parse::<RoleArn>().map(|_| ()).map_err(|error| error.to_string())
            }
            Self::PolicyOrNothing => policy(text),
            Self::Text { longest } if text.is_empty() || text.chars().count() > *longest => {
                Err(format!("send 1 to {longest} characters, or leave it out"))
            }
            Self::Text { .. } | Self::Flag | Self::Count { .. } | Self::Tags | Self::TagKeys => Ok(()),
        }
    }
}

fn policy(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length > LONGEST_POLICY {
        return Err(format!("it has {length} characters and may have {LONGEST_POLICY}: shorten the policy"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => Ok(()),
        _ => Err("its text is no JSON object: send an IAM policy, such as {\"Version\": \"2012-10-17\", …}"
            .to_owned()),
    }
}

fn tags(tags: &Map<String, Value>) -> Result<(), Fault> {
    how_many("tags", tags.len())?;
    for (key, value) in tags {
        tag_key(key)?;
        let value = value.as_str().ok_or(Fault::Type)?;
        if value.chars().count() > LONGEST_TAG_VALUE {
            let text =
                format!("the value of {key} is longer than {LONGEST_TAG_VALUE} characters: shorten it");
            return Err(Fault::Value(text));
        }
        // The model's own rule: the prefix is for AWS.
        if key.to_ascii_lowercase().starts_with("aws:") {
            let text = format!("the key {key} begins with aws:, which is for AWS alone: use another key");
            return Err(Fault::Value(text));
        }
    }
    Ok(())
}

fn tag_keys(keys: &[Value]) -> Result<(), Fault> {
    how_many("keys", keys.len())?;
    keys.iter().try_for_each(|key| tag_key(key.as_str().ok_or(Fault::Type)?))
}

fn how_many(what: &str, count: usize) -> Result<(), Fault> {
    if (1..=MOST_TAGS).contains(&count) {
        return Ok(());
    }
    Err(Fault::Value(format!("it has {count} {what}: send 1 to {MOST_TAGS}")))
}

fn tag_key(key: &str) -> Result<(), Fault> {
    if (1..=LONGEST_TAG_KEY).contains(&key.chars().count()) {
        return Ok(());
    }
    Err(Fault::Value(format!("a key of a tag has 1 to {LONGEST_TAG_KEY} characters: rename the tag")))
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
