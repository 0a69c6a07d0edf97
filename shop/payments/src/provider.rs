//! Who really moves the money, behind one question and one answer. Two providers: a built-in one for tests
//! and demonstrations, and Stripe.

mod stripe;
mod test;

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
pub use stripe::Stripe;
pub use test::TestProvider;

use crate::domain::Operation;

/// Something to be done by the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The idempotency key: the same question asked again with it has one effect and one answer.
    pub key: String,
    /// What to do.
    pub operation: Operation,
    /// Our payment.
    pub payment_id: String,
    /// How much, in minor units of `currency`.
    pub amount: i64,
    /// ISO 4217, upper case.
    pub currency: String,
    /// The provider's token of a payment method, when authorizing. Never a card number.
    pub payment_method: Option<String>,
    /// The provider's own name for the payment, once it gave one.
    pub reference: Option<String>,
}

/// What the provider said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of the question.
    pub outcome: Outcome,
    /// The provider's own name for the payment, if it gave one.
    pub reference: Option<String>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is refused, and nothing happened.
    Declined {
        /// Why, as a stable code such as `insufficient_funds`.
        code: String,
    },
    /// The customer has to act first.
    ActionRequired,
    /// It may or may not have happened: ask again, with the same key.
    Unknown {
        /// What went wrong, for the log. Never a secret.
        why: String,
    },
}

impl Answer {
    /// An answer without a name for the payment.
    #[must_use]
    pub const fn bare(outcome: Outcome) -> Self {
        Self { outcome, reference: None }
    }

    /// "I do not know": the question must be asked again.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::bare(Outcome::Unknown { why: why.into() })
    }

    /// A refusal.
    #[must_use]
    pub fn declined(code: impl Into<String>) -> Self {
        Self::bare(Outcome::Declined { code: code.into() })
    }
}

/// An answer that is on its way.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Who moves the money.
pub trait Provider: Send + Sync {
    /// Asks it. It may be dropped at any point and asked again later with the same key.
    fn ask<'a>(&'a self, question: &'a Question) -> Asked<'a>;

    /// Whether a confirmation with this method shall do its work and then lose the reply to our caller: a
    /// fault that only the test provider has, so that callers can be tested against it.
    fn loses_reply(&self, _payment_method: &str) -> bool {
        false
    }
}
