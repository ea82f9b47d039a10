//! An EKS Auth in memory that does what its script says and counts its calls.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use eks_auth::{ErrorCode, Exchange, ExchangeError};
use identity::{AssumedRoleUser, Credentials, Secret, ServiceAccountToken, TokenDigest};

use crate::canary;

/// What happens to one call.
#[derive(Clone, Debug)]
pub enum Step {
    /// Credentials that live so long come after so long.
    Issue {
        /// How long the call takes.
        after: Duration,
        /// How long the credentials live from then on.
        lifetime: Duration,
    },
    /// This error comes after so long.
    Fail {
        /// How long the call takes.
        after: Duration,
        /// The error.
        error: ExchangeError,
    },
    /// The call never ends.
    Hang,
    /// The call meets a bug.
    Panic,
}

impl Step {
    /// Six hours' credentials at once, as EKS Auth issues them.
    pub fn issue() -> Self {
        Self::Issue { after: Duration::ZERO, lifetime: Duration::from_secs(21_600) }
    }

    /// Six hours' credentials after a while.
    pub fn issue_after(after: Duration) -> Self {
        Self::Issue { after, lifetime: Duration::from_secs(21_600) }
    }

    /// An error of EKS Auth's at once.
    pub fn refuse(code: ErrorCode) -> Self {
        Self::Fail { after: Duration::ZERO, error: refusal(code) }
    }

    /// A connection that breaks at once.
    pub fn break_off() -> Self {
        Self::Fail { after: Duration::ZERO, error: ExchangeError::Unreachable("connection reset".to_owned()) }
    }
}

/// The script: steps in order, then one for all further calls.
#[derive(Debug)]
pub struct Script {
    steps: Mutex<VecDeque<Step>>,
    otherwise: Mutex<Step>,
    calls: Mutex<Vec<TokenDigest>>,
    allowance: Mutex<Option<Allowance>>,
    throttled: AtomicUsize,
}

/// What an account may do: so many calls a second, and as many at once after a quiet second.
#[derive(Debug)]
pub struct Allowance {
    per_second: f64,
    left: f64,
    at: tokio::time::Instant,
}

impl Allowance {
    /// So many a second, and as many at once.
    pub fn of(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, at: tokio::time::Instant::now() }
    }

    /// Takes one, if one is left.
    pub fn take(&mut self) -> bool {
        let now = tokio::time::Instant::now();
        let gained = (now - self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + gained).min(self.per_second);
        self.at = now;
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

impl Script {
    /// Does `steps`, then `otherwise` for ever.
    pub fn new(steps: impl IntoIterator<Item = Step>, otherwise: Step) -> Self {
        Self {
            steps: Mutex::new(steps.into_iter().collect()),
            otherwise: Mutex::new(otherwise),
            calls: Mutex::default(),
            allowance: Mutex::default(),
            throttled: AtomicUsize::new(0),
        }
    }

    /// Issues credentials after 50 ms, to an account that may make so many calls a second; throttles all others at once.
    pub fn throttling(per_second: u32) -> Self {
        let script = Self::new([], Step::issue_after(Duration::from_millis(50)));
        script.throttle(per_second);
        script
    }

    /// Throttles no more.
    pub fn stop_throttling(&self) {
        *self.allowance.lock().unwrap() = None;
    }

    /// From now on throttles calls beyond so many a second.
    pub fn throttle(&self, per_second: u32) {
        *self.allowance.lock().unwrap() = Some(Allowance::of(per_second));
    }

    /// From now on does `step` for ever.
    pub fn change(&self, step: Step) {
        self.steps.lock().unwrap().clear();
        *self.otherwise.lock().unwrap() = step;
    }

    /// Which tokens were exchanged so far, in order.
    pub fn calls(&self) -> Vec<TokenDigest> {
        self.calls.lock().unwrap().clone()
    }

    /// Which token call `number` exchanged, counted from 1 as in the access key ids of [`exchange`].
    pub fn call(&self, number: usize) -> TokenDigest {
        self.calls.lock().unwrap()[number - 1]
    }

    /// How many of the calls so far were throttled.
    pub fn throttled(&self) -> usize {
        self.throttled.load(Ordering::Relaxed)
    }

    /// How many calls there were so far.
    pub fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// One call. `now` is asked when the call ends.
    ///
    /// # Errors
    /// What the script says.
    pub async fn play(
        &self,
        token: &ServiceAccountToken,
        now: impl Fn() -> SystemTime,
    ) -> Result<Exchange, ExchangeError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(token.digest());
            calls.len()
        };
        let granted = self.allowance.lock().unwrap().as_mut().is_none_or(Allowance::take);
        if !granted {
            self.throttled.fetch_add(1, Ordering::Relaxed);
            return Err(refusal(ErrorCode::Throttling));
        }
        let step = self.steps.lock().unwrap().pop_front();
        let step = step.unwrap_or_else(|| self.otherwise.lock().unwrap().clone());
        match step {
            Step::Issue { after, lifetime } => {
                tokio::time::sleep(after).await;
                Ok(exchange(number, now() + lifetime))
            }
            Step::Fail { after, error } => {
                tokio::time::sleep(after).await;
                Err(error)
            }
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("the script says so"),
        }
    }
}

fn refusal(code: ErrorCode) -> ExchangeError {
    ExchangeError::Refused {
        code,
        request_id: "request-1".to_owned(),
        message: "as the script says".to_owned(),
    }
}

/// The exchange with this number: its access key id ends in it, its secrets hold the canary.
pub fn exchange(number: usize, expiration: SystemTime) -> Exchange {
    Exchange {
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
        audience: identity::AUDIENCE.to_owned(),
        association_id: "a-8mvwvh57cu74mgcst".to_owned(),
        association_arn: "arn:aws:eks:us-west-2:111122223333:podidentityassociation/dev/a-8mvwvh57cu74mgcst"
            .to_owned(),
        assumed_role_user: AssumedRoleUser {
            arn: "arn:aws:sts::111122223333:assumed-role/web/eks-dev-web-0".parse().unwrap(),
            assume_role_id: "AROAEXAMPLE:eks-dev-web-0".to_owned(),
        },
        credentials: Credentials {
            access_key_id: format!("ASIA{number:016}"),
            secret_access_key: Secret::from(format!("{}+/secret", canary::MARKER)),
            session_token: Secret::from(format!("{}+/session=", canary::MARKER)),
            expiration,
        },
    }
}
