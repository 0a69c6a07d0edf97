//! One file for each reconciler.

pub mod data_plane;
pub mod prepare;
pub mod record;
pub mod replicas;
