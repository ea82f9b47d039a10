//! Mistakes in settings, collected so that one start names them all.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use runtime::go_duration;

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The flag or variable.
    pub setting: String,
    /// What was given; `None` when nothing was.
    pub given: Option<String>,
    /// What is allowed.
    pub allowed: String,
}

impl Mistake {
    pub(super) fn new(setting: &str, given: &str, allowed: &str) -> Self {
        Self { setting: setting.to_owned(), given: Some(given.to_owned()), allowed: allowed.to_owned() }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Some(given) => write!(f, "{}: \"{given}\" was given, allowed is {}", self.setting, self.allowed),
            None => write!(f, "{}: is required, allowed is {}", self.setting, self.allowed),
        }
    }
}

/// All that is wrong with the settings, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent cannot start with these settings:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// Reads one setting after the other and remembers what was wrong.
#[derive(Default)]
pub(super) struct Reader(Vec<Mistake>);

impl Reader {
    pub(super) fn add(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    /// A setting whose type says what is allowed.
    pub(super) fn set<T>(&mut self, setting: &str, given: Option<&str>, place: &mut T)
    where
        T: FromStr<Err: Display>,
    {
        match given.map(|given| (given, given.parse())) {
            Some((_, Ok(value))) => *place = value,
            Some((given, Err(error))) => self.add(Mistake::new(setting, given, &error.to_string())),
            None => {}
        }
    }

    /// A whole number within bounds.
    pub(super) fn set_within<T>(
        &mut self,
        setting: &str,
        given: Option<&str>,
        place: &mut T,
        bounds: RangeInclusive<T>,
    ) where
        T: FromStr + PartialOrd + Display,
    {
        let Some(given) = given else { return };
        match given.parse() {
            Ok(value) if bounds.contains(&value) => *place = value,
            _ => {
                let allowed = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                self.add(Mistake::new(setting, given, &allowed));
            }
        }
    }

    /// A duration that is longer than nothing.
    pub(super) fn set_duration(&mut self, setting: &str, given: Option<&str>, place: &mut Duration) {
        let before = *place;
        self.set_duration_or_zero(setting, given, place);
        if place.is_zero() {
            *place = before;
            self.add(Mistake::new(
                setting,
                given.unwrap_or_default(),
                "a duration longer than 0, such as 90s or 1h30m",
            ));
        }
    }

    /// A duration, nothing included.
    pub(super) fn set_duration_or_zero(&mut self, setting: &str, given: Option<&str>, place: &mut Duration) {
        let Some(given) = given else { return };
        match go_duration::parse(given) {
            Ok(duration) => *place = duration,
            Err(error) => self.add(Mistake::new(setting, given, &error.to_string())),
        }
    }

    pub(super) fn finish<T>(self, settings: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(settings) } else { Err(Mistakes(self.0)) }
    }
}
