//! One file for each reconciler.

pub mod autoscale;
mod comparison;
pub mod contracts;
pub mod data_plane;
pub mod jobs;
pub mod record;
pub mod replicas;
pub mod rollouts;
