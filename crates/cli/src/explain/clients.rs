//! What AWS's SDKs make of an answer. As measured for Python, JavaScript and Rust and read in the sources of the others; their
//! versions are in docs/explain.md.

use serde::Serialize;

/// What an SDK meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    /// Credentials.
    Served,
    /// A refusal with a status of 400 to 499.
    Refused,
    /// 429, which AWS's agent gives.
    Throttled,
    /// 500 and beyond.
    Unavailable,
    /// No answer.
    Unreachable,
    /// A token that most will not send.
    LineEnd,
    /// It depends on what nobody here knows.
    Unknown,
}

/// Some SDKs, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Behaviour {
    pub(super) clients: &'static str,
    pub(super) does: &'static str,
}

impl Situation {
    /// In a sentence.
    pub(super) fn summary(self) -> &'static str {
        match self {
            Self::Served => "SDKs get credentials and keep them",
            Self::Refused => "SDKs get a refusal that asking again does not change",
            Self::Throttled => "SDKs are told to come back, in a way that not all of them understand",
            Self::Unavailable => "SDKs are told to come back",
            Self::Unreachable => "SDKs get no answer",
            Self::LineEnd => "most SDKs do not even ask",
            Self::Unknown => "what SDKs get depends on the association; --ask has the agent say",
        }
    }

    pub(super) fn behaviours(self) -> Vec<Behaviour> {
        let all: &[(&'static str, &'static str)] = match self {
            Self::Served => &[
                ("Python, AWS CLI", "ask again when 15 minutes are left, and then with every call"),
                ("JavaScript", "asks again in the background when 5 minutes are left"),
                ("Java", "asks again within the hour"),
            ],
            Self::Refused => &[
                ("Java, Go, Rust, PHP, Kotlin, and what is built on aws-c-auth", "give up at once"),
                ("Python, AWS CLI", "ask 3 times, a second apart, and fail"),
                (
                    "JavaScript",
                    "asks 4 times, a second apart; its default chain then shows another source's error in place of this one",
                ),
                (".NET, Swift", "ask 5 and 4 times within a second or so, and fail"),
                ("Ruby", "asks 6 times within some 7 seconds, and goes on with empty credentials"),
            ],
            Self::Throttled => &[
                (
                    "Java, Rust, PHP, Go",
                    "give up at once (Go, unless the answer's code is one of throttling)",
                ),
                (
                    "Python, AWS CLI, JavaScript, .NET, Ruby, Swift, Kotlin, and what is built on aws-c-auth",
                    "ask again",
                ),
            ],
            Self::Unavailable => &[
                ("Python, AWS CLI", "ask 3 times, a second apart"),
                ("JavaScript", "asks 4 times, a second apart"),
                ("Java", "asks 6 times without a pause"),
                ("Go, Rust, Kotlin", "ask 3 times, with growing pauses"),
                (".NET, Swift, Ruby", "ask 5, 4 and 6 times"),
                ("PHP, minio-go, fluent-bit", "do not ask again"),
            ],
            Self::Unreachable => &[
                ("most", "ask again, as often as after a 503"),
                ("PHP", "asks 3 times more, a second apart"),
                ("minio-go, fluent-bit", "do not ask again"),
            ],
            Self::LineEnd => &[
                ("Python, AWS CLI, JavaScript, Java, Go, Rust, PHP", "refuse to send such a token"),
                ("Ruby, fluent-bit, newer Swift", "cut the line end off and send it"),
            ],
            Self::Unknown => &[],
        };
        all.iter().map(|&(clients, does)| Behaviour { clients, does }).collect()
    }
}
