//! The node's half of pod identity: answers pods with the temporary AWS credentials that their service account tokens
//! are exchanged for. Data flows one way: listener → [`endpoint`] → [`session`] → [`upstream`] → answer.

mod agent;
pub mod api_server;
pub mod audit;
pub mod cluster_name;
pub mod command;
pub mod endpoint;
pub mod handover;
pub mod link;
pub mod pods;
pub mod refusal;
pub mod session;
pub mod settings;
pub mod startup_taint;
pub mod upstream;
pub mod verification;

pub use agent::{Agent, OpenError, World};
pub use settings::Settings;
pub use upstream::{EksAuthUpstream, SdkClock, Upstream};
