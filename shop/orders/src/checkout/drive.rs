//! Takes an order from step to step until it is finished or the time is up.
//!
//! Each turn reads how far the order has come, asks [`Progress::next`] what follows, does it, and notes it. So it does not matter who
//! began the order, nor where that one stopped.

use std::time::{Duration, Instant};

use http::StatusCode;
use service_kit::clock::now_ms;
use service_kit::http::CallError;
use service_kit::money::Money;
use service_kit::problem::Problem;

use super::finish;
use crate::callees::{Outcome, inventory, payments};
use crate::domain::work::{Action, Direction, Progress, Step};
use crate::service::Service;
use crate::store::orders::Order;
use crate::store::work::{Lease, Work};
use crate::store::{orders, work};

/// The first pause before an unknown result is asked for again; it doubles, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause while somebody waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How much longer an order may take to be undone once it was turned back for want of time.
const UNDO_BUDGET: Duration = Duration::from_secs(2);
/// The longest pause until recovery takes an order up again.
const LONGEST_REST_MS: i64 = 10_000;

/// How driving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The order is confirmed, cancelled or refunded.
    Finished,
    /// The time is up; recovery goes on.
    Unfinished,
}

/// What one turn came to.
enum Turn {
    /// A step further.
    On,
    /// Nobody can say yet.
    Unknown(CallError),
}

/// How long a lease lasts, in milliseconds.
pub fn lease_ms(service: &Service) -> i64 {
    i64::try_from(service.timing.lease.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Drives the order of a lease until it is finished, or until about `until`. If the lease was lost, because this process was too slow,
/// somebody else drives it: then it only watches.
///
/// # Errors
/// The database fails.
pub async fn drive(service: &Service, lease: &Lease, until: Instant) -> Result<End, Problem> {
    match advance(service, lease, until).await {
        Err(problem) if problem.code() == "request_in_flight" => watch(service, &lease.order_id, until).await,
        other => other,
    }
}

async fn watch(service: &Service, order_id: &str, until: Instant) -> Result<End, Problem> {
    while !load(service, order_id).await?.1.finished {
        if Instant::now() >= until {
            return Ok(End::Unfinished);
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
    Ok(End::Finished)
}

/// 409 `request_in_flight` means that the lease is lost.
async fn advance(service: &Service, lease: &Lease, mut until: Instant) -> Result<End, Problem> {
    let mut asked = 0_u32;
    loop {
        let (order, work) = load(service, &lease.order_id).await?;
        if work.finished {
            return Ok(End::Finished);
        }
        if is_too_old(service, &order, work.progress) {
            finish::turn_back(service, lease, work.progress, &out_of_time()).await?;
            continue;
        }
        let action = work.progress.next(order.payment_id.is_some());
        let error = match turn(service, lease, &order, &work, action).await? {
            Turn::On => {
                asked = 0;
                continue;
            }
            Turn::Unknown(error) => error,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << asked.min(6)).min(LONGEST_PAUSE);
        asked += 1;
        if Instant::now() + pause < until {
            tokio::time::sleep(pause).await;
            continue;
        }
        tracing::warn!(order = order.id, ?action, asked, cause = %error, "a step's result is still unknown");
        if matches!(action, Action::Reserve | Action::CreatePayment) {
            // No money can have moved, so the customer is better off with an open cart than with an order that waits.
            finish::turn_back(service, lease, work.progress, &away(&error)).await?;
            until = Instant::now() + UNDO_BUDGET;
            continue;
        }
        let rest = (500_i64 << work.attempts.clamp(0, 6)).min(LONGEST_REST_MS);
        work::put_down(&service.db, lease, now_ms() + rest).await?;
        return Ok(End::Unfinished);
    }
}

async fn load(service: &Service, order_id: &str) -> Result<(Order, Work), Problem> {
    let gone = || Problem::not_found("There is no such order.");
    let work = work::find(service.db.pool(), order_id).await?.ok_or_else(gone)?;
    let order = orders::find(service.db.pool(), order_id).await?.ok_or_else(gone)?;
    Ok((order, work))
}

/// Nobody wants to be charged long after they bought: an order without a promise of money is given up in time.
fn is_too_old(service: &Service, order: &Order, progress: Progress) -> bool {
    let limit = i64::try_from(service.timing.give_up_after.as_millis()).unwrap_or(i64::MAX);
    progress.before_authorization() && now_ms().saturating_sub(order.created_at) > limit
}

/// What the customer is told when a service did not do its step in time.
fn away(error: &CallError) -> Problem {
    let (CallError::Unavailable { service, .. }
    | CallError::Unknown { service, .. }
    | CallError::Refused { service, .. }) = error;
    Problem::unavailable(service)
}

fn out_of_time() -> Problem {
    let detail = "The checkout could not be finished in time and was undone. Try again.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
}

/// Does one step and notes it.
async fn turn(
    service: &Service,
    lease: &Lease,
    order: &Order,
    work: &Work,
    action: Action,
) -> Result<Turn, Problem> {
    match action {
        Action::Confirm => finish::confirm(service, lease, work.progress).await?,
        Action::Cancel => finish::cancel(service, lease, order, work).await?,
        Action::Refunded | Action::Nothing => finish::refunded(service, lease, work.progress).await?,
        remote => {
            if !work::renew(&service.db, lease, lease_ms(service)).await? {
                return Err(Problem::request_in_flight(1));
            }
            return match ask(service, order, work, remote).await {
                Outcome::Done(payment_id) => {
                    note(service, lease, order, work.progress, remote, payment_id).await.map(|()| Turn::On)
                }
                Outcome::Refused(problem) => {
                    refused(service, lease, order, work.progress, remote, problem).await
                }
                Outcome::Unknown(error) => Ok(Turn::Unknown(error)),
            };
        }
    }
    Ok(Turn::On)
}

/// Asks another service for a step; a created payment tells its id.
async fn ask(service: &Service, order: &Order, work: &Work, action: Action) -> Outcome<Option<String>> {
    let id = order.id.as_str();
    let payment = order.payment_id.as_deref().unwrap_or_default();
    let step = work.progress.step;
    let outcome = match action {
        Action::Reserve => match orders::lines(service.db.pool(), id).await {
            Ok(lines) => inventory::reserve(service, id, &lines).await,
            Err(error) => Outcome::Unknown(CallError::Unavailable {
                service: "the database".to_owned(),
                cause: error.to_string(),
            }),
        },
        Action::CreatePayment => {
            let currency = match order.currency.parse() {
                Ok(currency) => currency,
                Err(error) => return Outcome::Refused(Problem::from(error)),
            };
            return match payments::create(service, order, Money::new(order.total, currency)).await {
                Outcome::Done(intent) => Outcome::Done(Some(intent.id)),
                Outcome::Refused(problem) => Outcome::Refused(problem),
                Outcome::Unknown(error) => Outcome::Unknown(error),
            };
        }
        Action::Authorize => payments::authorize(service, id, payment, &work.payment_method).await,
        Action::Commit => inventory::commit(service, id).await,
        Action::Capture => payments::capture(service, id, payment).await,
        Action::UndoPayment => {
            payments::undo(service, id, payment, step >= Step::Captured, work.attempts).await
        }
        Action::UndoStock => inventory::undo(service, id, step >= Step::Committed).await,
        Action::Confirm | Action::Cancel | Action::Refunded | Action::Nothing => Outcome::Done(()),
    };
    match outcome {
        Outcome::Done(()) => Outcome::Done(None),
        Outcome::Refused(problem) => Outcome::Refused(problem),
        Outcome::Unknown(error) => Outcome::Unknown(error),
    }
}

/// Writes a step that was done into the order.
async fn note(
    service: &Service,
    lease: &Lease,
    order: &Order,
    mut progress: Progress,
    action: Action,
    payment_id: Option<String>,
) -> Result<(), Problem> {
    match action {
        Action::Reserve => progress.step = Step::Reserved,
        Action::CreatePayment => progress.step = Step::PaymentCreated,
        Action::Authorize => progress.step = Step::Authorized,
        Action::Commit => progress.step = Step::Committed,
        Action::Capture => progress.step = Step::Captured,
        Action::UndoPayment => progress.payment_undone = true,
        Action::UndoStock => progress.stock_undone = true,
        Action::Confirm | Action::Cancel | Action::Refunded | Action::Nothing => return Ok(()),
    }
    let status = Progress::status_after(progress.step);
    let moves = progress.direction == Direction::Forward && status != order.status;
    let mut tx = service.db.begin_write().await?;
    work::note(&mut tx, lease, progress, false).await?;
    if let Some(payment_id) = &payment_id {
        orders::set_payment(&mut tx, &order.id, payment_id).await?;
    }
    if moves {
        orders::become_status(&mut tx, &order.id, status).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A refusal turns an order back. An undo is never refused by services that keep their word; if it is, it is tried again later.
async fn refused(
    service: &Service,
    lease: &Lease,
    order: &Order,
    progress: Progress,
    action: Action,
    problem: Problem,
) -> Result<Turn, Problem> {
    if progress.direction == Direction::Forward {
        finish::turn_back(service, lease, progress, &problem).await?;
        return Ok(Turn::On);
    }
    tracing::error!(order = order.id, ?action, %problem, "an undo was refused");
    let service = if action == Action::UndoPayment { "payments" } else { "inventory" }.to_owned();
    Ok(Turn::Unknown(CallError::Refused { service, problem }))
}
