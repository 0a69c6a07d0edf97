//! What commands show: pure functions from state to text, and the few things they share.

pub mod api;
pub mod changes;
pub mod drift;
pub mod failure;
pub mod lines;
pub mod progress;
pub mod ps;
pub mod style;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod text;
pub mod top;
pub mod trace;
mod traffic;
pub mod usage;
