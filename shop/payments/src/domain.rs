//! The life of a payment intent, without any I/O: which event is legal in which state, and where it leads.

use serde::Serialize;

/// What is asked of the provider while an intent is processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Set the amount aside on the customer's card.
    Authorize,
    /// Take what was set aside.
    Capture,
    /// Give back what was set aside.
    Void,
    /// Give back what was taken. It runs beside the state: an intent that is being refunded has succeeded.
    Refund,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund];

    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }

    /// Reads the stored name back; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == text)
    }
}

/// The state of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// New, or the last method was refused.
    RequiresPaymentMethod,
    /// A method is chosen and not yet asked.
    RequiresConfirmation,
    /// The customer has to prove to their bank that it is them.
    RequiresAction,
    /// The provider is asked and has not answered.
    Processing(Operation),
    /// Authorized: the amount is set aside.
    RequiresCapture,
    /// Captured.
    Succeeded,
    /// Over, without any money taken.
    Canceled,
}

impl State {
    /// The name that is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing(_) => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }

    /// The operation that is under way.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Processing(operation) => Some(operation),
            _ => None,
        }
    }

    /// Reads what is stored; `None` for anything else.
    #[must_use]
    pub fn parse(status: &str, operation: Option<&str>) -> Option<Self> {
        let plain = [
            Self::RequiresPaymentMethod,
            Self::RequiresConfirmation,
            Self::RequiresAction,
            Self::RequiresCapture,
            Self::Succeeded,
            Self::Canceled,
        ];
        match operation {
            Some(name) if status == "processing" => Operation::parse(name).map(Self::Processing),
            Some(_) => None,
            None => plain.into_iter().find(|state| state.as_str() == status),
        }
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What happens to an intent: a wish of its owner, or an answer of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Wish: pay with a method.
    Confirm,
    /// Wish: take the money.
    Capture,
    /// Wish: let it be.
    Cancel,
    /// Wish: give money back.
    Refund,
    /// Answer: the provider did it.
    Done,
    /// Answer: the provider refused.
    Declined,
    /// Answer: the customer has to act first.
    ActionRequired,
}

/// Where `event` leads; `None` when it is not legal in this state.
#[must_use]
pub const fn next(state: State, event: Event) -> Option<State> {
    use Operation::{Authorize, Capture, Void};
    Some(match (state, event) {
        (
            State::RequiresPaymentMethod | State::RequiresConfirmation | State::RequiresAction,
            Event::Confirm,
        ) => State::Processing(Authorize),
        // Nothing is set aside yet, so there is nobody to tell.
        (State::RequiresPaymentMethod | State::RequiresConfirmation, Event::Cancel) => State::Canceled,
        (State::RequiresAction | State::RequiresCapture, Event::Cancel) => State::Processing(Void),
        (State::RequiresCapture, Event::Capture) => State::Processing(Capture),
        (State::Processing(Authorize), Event::Done) => State::RequiresCapture,
        (State::Processing(Authorize), Event::Declined) => State::RequiresPaymentMethod,
        (State::Processing(Authorize), Event::ActionRequired) => State::RequiresAction,
        (State::Processing(Capture), Event::Done) => State::Succeeded,
        // The authorization stands: it can be captured again, or canceled.
        (State::Processing(Capture), Event::Declined) => State::RequiresCapture,
        (State::Processing(Void), Event::Done) => State::Canceled,
        (State::Succeeded, Event::Refund) => State::Succeeded,
        // An undo may be repeated.
        (State::Canceled, Event::Cancel) => State::Canceled,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 9] = [
        State::RequiresPaymentMethod,
        State::RequiresConfirmation,
        State::RequiresAction,
        State::Processing(Operation::Authorize),
        State::Processing(Operation::Capture),
        State::Processing(Operation::Void),
        State::RequiresCapture,
        State::Succeeded,
        State::Canceled,
    ];

    /// The whole table, one row a state, one column an event.
    #[test]
    fn every_state_and_event() {
        use Event::{ActionRequired, Cancel, Capture, Confirm, Declined, Done, Refund};
        use State::{
            Canceled, Processing, RequiresAction, RequiresCapture, RequiresConfirmation,
            RequiresPaymentMethod, Succeeded,
        };
        let authorizing = Some(Processing(Operation::Authorize));
        let capturing = Some(Processing(Operation::Capture));
        let voiding = Some(Processing(Operation::Void));
        let events = [Confirm, Capture, Cancel, Refund, Done, Declined, ActionRequired];
        let table = [
            (RequiresPaymentMethod, [authorizing, None, Some(Canceled), None, None, None, None]),
            (RequiresConfirmation, [authorizing, None, Some(Canceled), None, None, None, None]),
            (RequiresAction, [authorizing, None, voiding, None, None, None, None]),
            (
                Processing(Operation::Authorize),
                [
                    None,
                    None,
                    None,
                    None,
                    Some(RequiresCapture),
                    Some(RequiresPaymentMethod),
                    Some(RequiresAction),
                ],
            ),
            (
                Processing(Operation::Capture),
                [None, None, None, None, Some(Succeeded), Some(RequiresCapture), None],
            ),
            (Processing(Operation::Void), [None, None, None, None, Some(Canceled), None, None]),
            (RequiresCapture, [None, capturing, voiding, None, None, None, None]),
            (Succeeded, [None, None, None, Some(Succeeded), None, None, None]),
            (Canceled, [None, None, Some(Canceled), None, None, None, None]),
        ];
        assert_eq!(table.map(|(state, _)| state), STATES, "the table names every state once");
        for (state, row) in table {
            for (event, expected) in events.into_iter().zip(row) {
                assert_eq!(next(state, event), expected, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn stored_states_round_trip() {
        for state in STATES {
            assert_eq!(State::parse(state.as_str(), state.operation().map(Operation::as_str)), Some(state));
        }
        assert_eq!(State::parse("processing", None), None);
        assert_eq!(State::parse("succeeded", Some("void")), None);
    }

    /// From anywhere an owner can get the intent to an end: no state is a trap.
    #[test]
    fn every_state_can_reach_an_end() {
        const EVENTS: [Event; 7] = [
            Event::Confirm,
            Event::Capture,
            Event::Cancel,
            Event::Refund,
            Event::Done,
            Event::Declined,
            Event::ActionRequired,
        ];
        for start in STATES {
            let mut reached = vec![start];
            let mut at = 0;
            while let Some(&state) = reached.get(at) {
                let onward = EVENTS.into_iter().filter_map(|event| next(state, event));
                let fresh: Vec<_> = onward.filter(|state| !reached.contains(state)).collect();
                reached.extend(fresh);
                at += 1;
            }
            assert!(reached.contains(&State::Succeeded) || reached.contains(&State::Canceled), "{start:?}");
        }
    }
}
