//! What goes over the wire, byte by byte, and cannot be read in two ways.

mod answers;
mod corpus;
mod downgrade;
mod smuggling;
