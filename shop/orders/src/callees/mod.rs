//! What orders calls: the catalog's prices, and the engine that carries out its sagas.

pub mod catalog;
pub mod sagas;
