//! Releases and how one takes the place of another, as they travel over the admin API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a new release takes the place of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStatus {
    /// Its number; a later one has a greater.
    pub id: u64,
    /// What it is for: `up`, `deploy` or `rollback`.
    pub cause: String,
    /// `rolling` or `canary`.
    pub strategy: String,
    /// The release that is replaced.
    #[serde(default)]
    pub from: Option<String>,
    /// The release that replaces it, once it is built.
    #[serde(default)]
    pub to: Option<String>,
    /// `build`, `gate`, `before_start`, `start`, `warm`, `canary`, `shift`, `drain`, `undo` or `ended`.
    pub stage: String,
    /// Which step of the canary, from 1, while that is its stage.
    #[serde(default)]
    pub step: Option<u32>,
    /// The new release's part of the requests, of 10,000, in a step of a canary.
    #[serde(default)]
    pub share: Option<u32>,
    /// It stays at its first canary step until it is promoted or rolled back, and is there now.
    #[serde(default)]
    pub waits: bool,
    /// When it began.
    pub began: u64,
    /// When `stage` became what it is.
    pub since: u64,
    /// Once it has ended: `done`, `unchanged`, `rolled_back`, `refused` or `failed`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Why it ended so, or why it is undone, each a sentence.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The last lines of the step that failed.
    #[serde(default)]
    pub last_lines: Vec<String>,
    /// What happened, oldest first.
    #[serde(default)]
    pub notes: Vec<RolloutNote>,
}

/// Something that happened in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutNote {
    /// When.
    pub at: u64,
    /// What, and why.
    pub text: String,
}

/// A release that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseInfo {
    /// Its name.
    pub id: String,
    /// When it was made.
    pub made_at: u64,
    /// Whether it is in charge.
    pub current: bool,
    /// How many of its replicas run.
    pub replicas: u32,
    /// How its last rollout ended, or its stage while that is under way; absent where nobody remembers one.
    #[serde(default)]
    pub rollout: Option<String>,
    /// Why that was rolled back or refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// How many files it has.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// Which manifest a `plan` is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PlanRequest {
    /// The manifest, an absolute path; the one that the app was started with when absent.
    #[serde(default)]
    pub manifest: Option<String>,
}

/// What would be different with the manifest as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// Every part that is declared in another way. What services are made of is not looked at.
    pub changes: Vec<ChangeInfo>,
}

/// A part of the app that is declared in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeInfo {
    /// `gateway`, `service`, `external` or `app`.
    pub part: String,
    /// The name of the service or external, or the setting of the app.
    #[serde(default)]
    pub name: Option<String>,
    /// `added`, `removed` or `changed`.
    pub kind: String,
    /// The settings that differ; of the environment the variables, without their values.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What follows: `start`, `stop`, `rollout`, `at_once`, `next_start` (of each replica), `next_up` (of the app), or
    /// `refused`.
    pub effect: String,
}

/// What a `deploy` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DeployRequest {
    /// These services, with their settings in the manifest; the whole manifest and all services when empty.
    #[serde(default)]
    pub services: Vec<String>,
    /// The manifest, an absolute path; the one that the app was started with when absent.
    #[serde(default)]
    pub manifest: Option<String>,
    /// As a canary that stays at its first step until it is promoted or rolled back.
    #[serde(default)]
    pub canary: bool,
    /// Also where the gate refuses it.
    #[serde(default)]
    pub force: bool,
}

/// What a `deploy` began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// What is in force since, or on its way.
    pub changes: Vec<ChangeInfo>,
    /// The number of each service's rollout.
    pub rollouts: BTreeMap<String, u64>,
}

/// What a `rollback` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RollbackRequest {
    /// A release, or the beginning of its name; the one that was in charge before when absent.
    #[serde(default)]
    pub release: Option<String>,
}

/// A rollout goes on by itself; the status shows how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Begun {
    /// Its number.
    pub rollout: u64,
}
