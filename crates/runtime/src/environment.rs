//! The process's environment as an argument, so that settings can be read from a map in tests.

use std::collections::HashMap;

/// Where variables are looked up.
pub trait Environment {
    /// The variable's value; `None` when it is unset, empty or not UTF-8. AWS's tools treat empty as unset too.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment this process was started with.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl Environment for HashMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).map(|value| (*value).to_owned()).filter(|value| !value.is_empty())
    }
}
