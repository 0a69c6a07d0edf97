//! What an order still has to do at the other services, as a pure function of how far it has come.
//!
//! Forward: reserve, create the payment, authorize, commit the stock, capture, confirm. Undo goes back: the payment first (void, or
//! refund once captured), then the stock (release, or return once committed). An undo covers the step *after* the last one that is
//! known to be done as well, because that one may have happened without its answer reaching us.

use super::order::Status;

/// The last forward step that is known to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The order exists here and nowhere else.
    Placed,
    /// Its units are held.
    Reserved,
    /// A payment intent exists; its id is in the order.
    PaymentCreated,
    /// The payment is authorized.
    Authorized,
    /// The held units have left the stock.
    Committed,
    /// The money has been taken.
    Captured,
    /// The order is confirmed.
    Confirmed,
}

/// Every step, in order.
pub const STEPS: [Step; 7] = [
    Step::Placed,
    Step::Reserved,
    Step::PaymentCreated,
    Step::Authorized,
    Step::Committed,
    Step::Captured,
    Step::Confirmed,
];

/// Which way an order is going. Undo is never turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards `confirmed`.
    Forward,
    /// Towards `cancelled` or `refunded`.
    Undo,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last forward step that is known to be done.
    pub step: Step,
    /// Which way it goes.
    pub direction: Direction,
    /// The payment has been voided or refunded.
    pub payment_undone: bool,
    /// The units have been released or returned.
    pub stock_undone: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Hold the units.
    Reserve,
    /// Create the payment intent.
    CreatePayment,
    /// Authorize the payment.
    Authorize,
    /// Take the held units out of the stock.
    Commit,
    /// Take the money.
    Capture,
    /// Confirm the order, close its cart, publish the event.
    Confirm,
    /// Cancel the payment; one that was captured is refunded in full.
    UndoPayment,
    /// Release the units; committed ones are returned.
    UndoStock,
    /// Cancel the order and give the cart back.
    Cancel,
    /// Mark a paid and cancelled order as refunded.
    Refunded,
    /// Nothing is left to do.
    Nothing,
}

impl Progress {
    /// The progress of an order that was just placed.
    #[must_use]
    pub fn placed() -> Self {
        Self { step: Step::Placed, direction: Direction::Forward, payment_undone: false, stock_undone: false }
    }

    /// The next thing to do. `paid_with` says whether a payment intent is known.
    #[must_use]
    pub fn next(self, has_payment: bool) -> Action {
        match self.direction {
            Direction::Forward => match self.step {
                Step::Placed => Action::Reserve,
                Step::Reserved => Action::CreatePayment,
                Step::PaymentCreated => Action::Authorize,
                Step::Authorized => Action::Commit,
                Step::Committed => Action::Capture,
                Step::Captured => Action::Confirm,
                Step::Confirmed => Action::Nothing,
            },
            // An intent that we do not know of was never authorized, so it can move no money.
            Direction::Undo if has_payment && !self.payment_undone => Action::UndoPayment,
            Direction::Undo if !self.stock_undone => Action::UndoStock,
            Direction::Undo if self.step == Step::Confirmed => Action::Refunded,
            Direction::Undo => Action::Cancel,
        }
    }

    /// The order's status once `step` is reached on the way forward.
    #[must_use]
    pub fn status_after(step: Step) -> Status {
        match step {
            Step::Placed => Status::Pending,
            Step::Reserved | Step::PaymentCreated => Status::StockReserved,
            Step::Authorized | Step::Committed | Step::Captured => Status::PaymentAuthorized,
            Step::Confirmed => Status::Confirmed,
        }
    }

    /// Whether giving up is still the better answer when a service stays away: no money is promised yet.
    #[must_use]
    pub fn before_authorization(self) -> bool {
        self.direction == Direction::Forward && self.step < Step::Authorized
    }
}

impl Step {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Reserved => "reserved",
            Self::PaymentCreated => "payment_created",
            Self::Authorized => "authorized",
            Self::Committed => "committed",
            Self::Captured => "captured",
            Self::Confirmed => "confirmed",
        }
    }

    /// The step of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        STEPS.into_iter().find(|step| step.as_str() == name)
    }
}

impl Direction {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Undo => "undo",
        }
    }

    /// The direction of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Forward, Self::Undo].into_iter().find(|direction| direction.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows `next` from `progress` as if every step succeeded, and names what was done.
    fn walk(mut progress: Progress, mut has_payment: bool) -> Vec<Action> {
        let mut done = Vec::new();
        loop {
            let action = progress.next(has_payment);
            match action {
                Action::Reserve => progress.step = Step::Reserved,
                Action::CreatePayment => {
                    progress.step = Step::PaymentCreated;
                    has_payment = true;
                }
                Action::Authorize => progress.step = Step::Authorized,
                Action::Commit => progress.step = Step::Committed,
                Action::Capture => progress.step = Step::Captured,
                Action::Confirm => progress.step = Step::Confirmed,
                Action::UndoPayment => progress.payment_undone = true,
                Action::UndoStock => progress.stock_undone = true,
                Action::Nothing => return done,
                Action::Cancel | Action::Refunded => {
                    done.push(action);
                    return done;
                }
            }
            done.push(action);
        }
    }

    fn undo_from(step: Step) -> Progress {
        Progress { step, direction: Direction::Undo, payment_undone: false, stock_undone: false }
    }

    #[test]
    fn forward_does_each_step_once_in_order() {
        assert_eq!(
            walk(Progress::placed(), false),
            [
                Action::Reserve,
                Action::CreatePayment,
                Action::Authorize,
                Action::Commit,
                Action::Capture,
                Action::Confirm
            ]
        );
    }

    #[test]
    fn undo_goes_back_from_every_step() {
        for step in STEPS {
            let has_payment = step >= Step::PaymentCreated;
            let last = if step == Step::Confirmed { Action::Refunded } else { Action::Cancel };
            let mut expected = vec![Action::UndoStock, last];
            if has_payment {
                expected.insert(0, Action::UndoPayment);
            }
            assert_eq!(walk(undo_from(step), has_payment), expected, "from {step:?}");
        }
    }

    #[test]
    fn an_undo_is_taken_up_where_it_stopped() {
        let progress = Progress { payment_undone: true, ..undo_from(Step::Authorized) };
        assert_eq!(walk(progress, true), [Action::UndoStock, Action::Cancel]);
    }

    #[test]
    fn every_status_on_the_way_is_a_legal_move() {
        for pair in STEPS.windows(2) {
            let (from, to) = (Progress::status_after(pair[0]), Progress::status_after(pair[1]));
            assert!(from == to || from.may_become(to), "{from} -> {to}");
        }
        for step in STEPS {
            assert!(Progress::status_after(step).may_become(Status::Cancelled), "{step:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for step in STEPS {
            assert_eq!(Step::parse(step.as_str()), Some(step));
        }
        assert_eq!(Direction::parse("undo"), Some(Direction::Undo));
        assert_eq!(Direction::parse("sideways"), None);
    }
}
