//! One file for each reconciler.

mod comparison;
pub mod data_plane;
pub mod jobs;
pub mod record;
pub mod replicas;
pub mod rollouts;
