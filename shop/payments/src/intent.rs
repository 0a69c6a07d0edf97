//! What a payment is, and how wishes and answers change it: pure functions from one payment to the next.
//! The store writes down what comes out of here, and the database's CHECKs hold against mistakes in it.

use serde::Serialize;
use service_kit::clock::new_id;

use crate::domain::{Event, Operation, State, next};
use crate::provider::{Answer, Outcome, Question};

/// A payment. Amounts are minor units of `currency`, times Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// `UUIDv7`.
    pub id: String,
    /// Whose it is: the subject of the customer's access token.
    pub customer_id: String,
    /// What it is for: an order id.
    pub reference: String,
    /// How much is to be paid.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands.
    pub state: State,
    /// The provider's token of the method it is paid with.
    pub payment_method: Option<String>,
    /// Why the last attempt was refused.
    pub decline_code: Option<String>,
    /// Why it was canceled.
    pub cancel_reason: Option<String>,
    /// The provider's own name for it.
    pub provider_reference: Option<String>,
    /// How much was set aside.
    pub authorized: i64,
    /// How much was taken.
    pub captured: i64,
    /// How much the provider is being asked to give back.
    pub refunding: i64,
    /// How much was given back.
    pub refunded: i64,
    /// Until when the authorization can be captured.
    pub authorization_expires_at: Option<i64>,
    /// Counts the changes.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// Something asked of the provider: written down before it is asked, with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `UUIDv7`; the provider's idempotency key.
    pub id: String,
    /// Of this payment.
    pub payment_id: String,
    /// What.
    pub operation: Operation,
    /// How much.
    pub amount: i64,
    /// With what, when authorizing.
    pub payment_method: Option<String>,
    /// Why, when giving money back or canceling.
    pub reason: Option<String>,
    /// The call that started it, so that its repeat finds it.
    pub request: Option<String>,
    /// What came of it; `None` while the provider has not answered.
    pub result: Option<AttemptResult>,
    /// How often it was asked without a usable answer.
    pub tries: i64,
    /// When it was started.
    pub created_at: i64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// Done.
    Succeeded,
    /// Refused, with the provider's code.
    Declined(String),
    /// The customer has to act first.
    RequiresAction,
}

/// What the owner of a payment wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Pay with this method, or with the one that was chosen before.
    Confirm {
        /// The provider's token.
        payment_method: Option<String>,
        /// Nobody is there to act at their bank: if that is needed, it counts as a refusal.
        error_on_requires_action: bool,
    },
    /// Take this much, or all that was set aside.
    Capture {
        /// Minor units.
        amount: Option<i64>,
    },
    /// Let it be.
    Cancel {
        /// For the record.
        reason: String,
    },
    /// Give this much back, or all that is left.
    Refund {
        /// Minor units.
        amount: Option<i64>,
        /// For the record.
        reason: String,
    },
}

impl Wish {
    /// The event in the table of states.
    #[must_use]
    pub const fn event(&self) -> Event {
        match self {
            Self::Confirm { .. } => Event::Confirm,
            Self::Capture { .. } => Event::Capture,
            Self::Cancel { .. } => Event::Cancel,
            Self::Refund { .. } => Event::Refund,
        }
    }

    /// Whether this is the very wish that led to `attempt`, as far as it says anything of its own.
    #[must_use]
    pub fn led_to(&self, attempt: &Attempt) -> bool {
        match self {
            Self::Confirm { payment_method: Some(method), .. } => {
                attempt.payment_method.as_ref() == Some(method)
            }
            Self::Capture { amount: Some(amount) } | Self::Refund { amount: Some(amount), .. } => {
                attempt.amount == *amount
            }
            _ => true,
        }
    }
}

/// Why a wish cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not in this state.
    Conflict(State),
    /// The authorization is over.
    AuthorizationExpired,
    /// No method was ever given.
    NoMethod,
    /// More than can be captured or refunded, or nothing; this much could be.
    TooMuch(i64),
}

/// The first half of an operation: the payment as it shall be stored, and what to ask the provider, if anything.
pub type Begun = Result<(Payment, Option<Attempt>), Refusal>;

/// Follows a wish up to the point where the provider is asked.
///
/// # Errors
/// Why the wish cannot be followed; nothing changes then.
pub fn begin(payment: &Payment, wish: &Wish, request: Option<&str>, now: i64) -> Begun {
    let state = next(payment.state, wish.event()).ok_or(Refusal::Conflict(payment.state))?;
    let mut changed = Payment { state, updated_at: now, ..payment.clone() };
    let attempt = |operation, amount| Attempt {
        id: new_id(),
        payment_id: payment.id.clone(),
        operation,
        amount,
        payment_method: None,
        reason: None,
        request: request.map(str::to_owned),
        result: None,
        tries: 0,
        created_at: now,
    };
    let attempt = match wish {
        Wish::Confirm { payment_method, .. } => {
            let method = payment_method.clone().or_else(|| payment.payment_method.clone());
            let method = method.ok_or(Refusal::NoMethod)?;
            changed.payment_method = Some(method.clone());
            Some(Attempt { payment_method: Some(method), ..attempt(Operation::Authorize, payment.amount) })
        }
        Wish::Capture { amount } => {
            if payment.authorization_expires_at.is_some_and(|end| end <= now) {
                return Err(Refusal::AuthorizationExpired);
            }
            Some(attempt(Operation::Capture, within(*amount, payment.authorized)?))
        }
        Wish::Cancel { reason } if state == State::Processing(Operation::Void) => {
            let amount = payment.authorized;
            Some(Attempt { reason: Some(reason.clone()), ..attempt(Operation::Void, amount) })
        }
        Wish::Cancel { reason } => {
            changed.cancel_reason.get_or_insert_with(|| reason.clone());
            None
        }
        Wish::Refund { amount, reason } => {
            let amount = within(*amount, refundable(payment))?;
            changed.refunding += amount;
            Some(Attempt { reason: Some(reason.clone()), ..attempt(Operation::Refund, amount) })
        }
    };
    Ok((changed, attempt))
}

/// How much can still be given back; what is being given back counts as given.
#[must_use]
pub const fn refundable(payment: &Payment) -> i64 {
    payment.captured - payment.refunded - payment.refunding
}

fn within(wanted: Option<i64>, most: i64) -> Result<i64, Refusal> {
    let amount = wanted.unwrap_or(most);
    if (1..=most).contains(&amount) { Ok(amount) } else { Err(Refusal::TooMuch(most)) }
}

/// The question that an attempt is.
#[must_use]
pub fn question(payment: &Payment, attempt: &Attempt) -> Question {
    Question {
        key: attempt.id.clone(),
        operation: attempt.operation,
        payment_id: payment.id.clone(),
        amount: attempt.amount,
        currency: payment.currency.clone(),
        payment_method: attempt.payment_method.clone(),
        reference: payment.provider_reference.clone(),
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Set aside.
    Authorized,
    /// Taken.
    Captured,
    /// Given back after it was taken.
    Refunded,
    /// Given back without being taken.
    Canceled,
}

impl Entry {
    /// The name that is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Refunded => "refunded",
            Self::Canceled => "canceled",
        }
    }
}

/// The second half of an operation: everything that an answer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The payment as it shall be stored.
    pub payment: Payment,
    /// What came of the attempt.
    pub result: AttemptResult,
    /// What to add to the ledger.
    pub entries: Vec<(Entry, i64)>,
    /// What to tell the world.
    pub event: &'static str,
}

/// Applies the provider's answer. `lifetime`: how long an authorization stands, in milliseconds. `None` when
/// the answer settles nothing: it is unknown, or makes no sense in this state; then it is asked again.
#[must_use]
pub fn settle(
    payment: &Payment,
    attempt: &Attempt,
    answer: &Answer,
    lifetime: i64,
    now: i64,
) -> Option<Settled> {
    let (event, result) = match &answer.outcome {
        Outcome::Done => (Event::Done, AttemptResult::Succeeded),
        Outcome::Declined { code } => (Event::Declined, AttemptResult::Declined(code.clone())),
        Outcome::ActionRequired => (Event::ActionRequired, AttemptResult::RequiresAction),
        Outcome::Unknown { .. } => return None,
    };
    let mut changed = Payment { updated_at: now, ..payment.clone() };
    if answer.reference.is_some() {
        changed.provider_reference.clone_from(&answer.reference);
    }
    if attempt.operation == Operation::Refund {
        return settle_refund(changed, attempt, result);
    }
    if payment.state != State::Processing(attempt.operation) {
        return None;
    }
    changed.state = next(payment.state, event)?;
    changed.decline_code = match &result {
        AttemptResult::Declined(code) => Some(code.clone()),
        _ => None,
    };
    let (entries, event) = match (attempt.operation, &result) {
        (Operation::Authorize, AttemptResult::Succeeded) => {
            changed.authorized = attempt.amount;
            changed.authorization_expires_at = Some(now.saturating_add(lifetime));
            (vec![(Entry::Authorized, attempt.amount)], "payment.authorized")
        }
        (Operation::Capture, AttemptResult::Succeeded) => {
            changed.captured = attempt.amount;
            changed.authorization_expires_at = None;
            let rest = payment.authorized - attempt.amount;
            (vec![(Entry::Captured, attempt.amount), (Entry::Canceled, rest)], "payment.captured")
        }
        (Operation::Void, AttemptResult::Succeeded) => {
            changed.cancel_reason.clone_from(&attempt.reason);
            changed.authorization_expires_at = None;
            (vec![(Entry::Canceled, payment.authorized)], "payment.canceled")
        }
        (_, AttemptResult::RequiresAction) => (Vec::new(), "payment.action_required"),
        (Operation::Capture, _) => (Vec::new(), "payment.capture_failed"),
        (_, _) => (Vec::new(), "payment.declined"),
    };
    let entries = entries.into_iter().filter(|(_, amount)| *amount > 0).collect();
    Some(Settled { payment: changed, result, entries, event })
}

fn settle_refund(mut changed: Payment, attempt: &Attempt, result: AttemptResult) -> Option<Settled> {
    changed.refunding -= attempt.amount;
    let (entries, event) = match result {
        AttemptResult::Succeeded => {
            changed.refunded += attempt.amount;
            (vec![(Entry::Refunded, attempt.amount)], "payment.refunded")
        }
        AttemptResult::Declined(_) => (Vec::new(), "payment.refund_failed"),
        AttemptResult::RequiresAction => return None,
    };
    Some(Settled { payment: changed, result, entries, event })
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
