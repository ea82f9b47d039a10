//! A system with a known number of associations, and the calls that are measured on it.

use anyhow::{Result, ensure};
use control_plane::issuer::{self, SigningKey, TokenIssuer};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

use super::caller::{EKS, EKS_AUTH};
use super::calls::{self, Called};
use super::population::{self, PATH};
use super::system::System;
use crate::moment;

/// A call that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    /// A create; what it made is deleted afterwards, unmeasured.
    Create,
    /// A describe of the association in the middle.
    Get,
    /// A describe of another association each time.
    GetScattered,
    /// The first page of 100.
    FirstHundred,
    /// The last page of 100.
    LastHundred,
    /// The last page of 10, which also the smallest size fills.
    LastTen,
}

/// Whose pods exchange tokens.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    /// Those of the association in the middle.
    Middle,
    /// Those of another association each time.
    Scattered,
}

impl Operation {
    /// Calls of one attempt: enough for the 99th percentile of the cheap ones, in well under a second.
    fn calls(self) -> usize {
        match self {
            Self::Create => 100,
            Self::Get | Self::GetScattered => 2_000,
            Self::FirstHundred | Self::LastHundred => 500,
            Self::LastTen => 1_000,
        }
    }
}

/// A system whose associations are known.
pub(super) struct Subject {
    pub(super) system: System,
    /// In the order of lists.
    ids: Vec<String>,
    last_hundred: Option<String>,
    last_ten: Option<String>,
    /// Pods made up so far.
    pods: usize,
}

impl Subject {
    /// Looks at a system that was filled with so many.
    pub(super) async fn new(system: System, size: usize) -> Result<Self> {
        let (last_hundred, ids) = population::last_page(&system, 100, None).await?;
        ensure!(ids.len() == size, "{} associations, not {size}", ids.len());
        let (last_ten, _) = population::last_page(&system, 10, last_hundred.clone()).await?;
        Ok(Self { system, ids, last_hundred, last_ten, pods: 0 })
    }

    /// Makes the calls of one attempt, one after the other on one connection.
    pub(super) async fn measure(&self, operation: Operation) -> Result<Called> {
        let requests = (0..operation.calls()).map(|turn| self.request(operation, turn));
        let called = calls::make(&self.system, requests.collect::<Result<_>>()?, 1).await?;
        if operation == Operation::Create {
            self.delete(&called.bodies).await?;
        }
        Ok(called)
    }

    fn request(&self, operation: Operation, turn: usize) -> Result<Vec<u8>> {
        let system = &self.system;
        let get = |number: usize| {
            let path = format!("{PATH}/{}", self.ids[number]);
            system.caller.request(EKS, "GET", &path, "")
        };
        match operation {
            Operation::Create => {
                // Among those of the namespace in the middle.
                let (namespace, _) = population::names(self.middle());
                population::create(system, &namespace, &format!("new-{}", Uuid::new_v4()))
            }
            Operation::Get => get(self.middle()),
            Operation::GetScattered => get(population::scattered(turn, self.ids.len())),
            Operation::FirstHundred => population::list(system, 100, None),
            Operation::LastHundred => population::list(system, 100, self.last_hundred.as_deref()),
            Operation::LastTen => population::list(system, 10, self.last_ten.as_deref()),
        }
    }

    fn middle(&self) -> usize {
        self.ids.len() / 2
    }

    async fn delete(&self, created: &[Vec<u8>]) -> Result<()> {
        let delete = |id: &String| self.system.caller.request(EKS, "DELETE", &format!("{PATH}/{id}"), "");
        let requests = population::ids(created)?.iter().map(delete).collect::<Result<_>>()?;
        calls::make(&self.system, requests, 1).await?.without_faults().map(drop)
    }

    /// Exchanges for so many new pods, each with a token of its own.
    pub(super) async fn exchange(&mut self, whose: Whose, pods: usize, connections: usize) -> Result<Called> {
        let system = &self.system;
        let key = SigningKey::kept_in(&system.signing_key, None)?;
        let issuer = TokenIssuer::new(system.issuer(), key, Uuid::nil());
        let mut requests = Vec::with_capacity(pods);
        for pod in self.pods..self.pods + pods {
            let (namespace, service_account) = population::names(match whose {
                Whose::Middle => self.middle(),
                Whose::Scattered => population::scattered(pod, self.ids.len()),
            });
            let pod = format!("{service_account}-{pod}");
            let subject = issuer::Subject::new(&namespace, &service_account, &pod, Some("node-1"))?;
            let issued = issuer.issue(&subject, Duration::from_secs(86_400), moment::now())?;
            let body = json!({ "token": issued.token.expose_str() }).to_string();
            let path = "/clusters/dev/assume-role-for-pod-identity";
            requests.push(system.caller.request(EKS_AUTH, "POST", path, &body)?);
        }
        self.pods += pods;
        calls::make(system, requests, connections).await
    }
}
