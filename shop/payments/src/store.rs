//! The tables of payments. Every function works on the connection it is given, inside the transaction of its
//! caller. A payment is changed by compare and set on its version, so nothing has to be locked.

mod attempts;
mod payments;

pub use attempts::{
    add_attempt, add_entries, attempt, attempt_of_request, due_attempts, entries, finish_attempt,
    open_attempt, postpone,
};
pub use payments::{PaymentPage, expired_authorizations, find, insert, list, replace};
