//! What plugin and agent say to each other over the agent's Unix socket: one line of JSON each way. With
//! the plugin's line comes the pod's network namespace as an open file (`SCM_RIGHTS`), so that its path
//! need not mean anything where the agent is.

use serde::{Deserialize, Serialize};

/// No line is longer.
pub const LONGEST: usize = 64 * 1024;

/// What is asked of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Capture the pod's traffic, if it is to be captured.
    Capture,
    /// Say whether that is as it should be.
    Check,
}

/// A question about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// What is asked.
    pub what: What,
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The pod is captured.
    Captured,
    /// It is not to be, because.
    Left(String),
    /// It should be, and cannot: its annotations are wrong, or the kernel refuses.
    Refused(String),
    /// Nobody can say: the API server does not answer.
    Unknown(String),
}
