//! The services that orders calls, in the words of orders: what to ask, and what an answer means.

pub mod catalog;
pub mod inventory;
pub mod payments;

use service_kit::http::CallError;
use service_kit::problem::Problem;

/// What became of a step at another service.
#[derive(Debug)]
pub enum Outcome<T = ()> {
    /// It is done.
    Done(T),
    /// It was refused for good: asking again gives the same answer.
    Refused(Problem),
    /// Nobody can say yet; asking again with the same key is safe and will tell.
    Unknown(CallError),
}

impl<T> Outcome<T> {
    /// Reads the result of a call.
    pub fn of(result: Result<T, CallError>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) if error.may_ask_again() => Self::Unknown(error),
            Err(CallError::Refused { problem, .. }) => Self::Refused(problem),
            Err(error) => Self::Unknown(error),
        }
    }
}
