//! The HTTP surface: `public` for customers and administrators, `internal` for the sagas of orders.

mod internal;
mod lost_reply;
mod public;

use axum::Router;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::auth;
use service_kit::db::Db;
use service_kit::idempotency::{Begun, Idempotency, Reply};
use service_kit::money::Money;
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::{Checks, Problem};

use crate::cashier::{Cashier, Done};
use crate::intent::{AttemptResult, Wish, refundable};
use crate::store::{self, PaymentPage};
use crate::view::{PaymentView, RefundView, declined, no_payment};

/// How often a payment may change under a reversal before that is asked for again.
const REVERSALS: usize = 3;

/// What every handler may use.
#[derive(Clone)]
struct Shared {
    db: Db,
    cashier: Cashier,
}

/// All routes of the service.
pub fn router(db: Db, cashier: Cashier) -> Router {
    let internal = auth::internal(&["isles-sagas"], internal::routes());
    public::routes().merge(internal).with_state(Shared { db, cashier })
}

/// A refund as it is asked for by an administrator.
#[derive(Debug, Deserialize, Serialize)]
struct RefundBody {
    amount: Option<Money>,
    reason: String,
}

impl Shared {
    /// Carries out a wish once for its idempotency key. The provider is asked in between, so the key is claimed
    /// first; a repeat after a crash finds the attempt by the same name.
    async fn once(
        &self,
        caller: &str,
        idempotency: &Idempotency,
        payload: &impl Serialize,
        id: &str,
        wish: &Wish,
    ) -> Result<Reply, Problem> {
        let claim = match idempotency.begin(&self.db, caller, payload).await? {
            Begun::Replay(reply) => return Ok(reply),
            Begun::Claimed(claim) => claim,
        };
        let event = wish.event();
        let request = format!("{caller}/{id}/{event:?}/{}", idempotency.key());
        let done = self.cashier.carry_out(id, wish, Some(&request)).await;
        match done {
            // An attempt of another payload has this key: its answer must stay free for the call that made it.
            Err(reused) if reused.code() == Problem::idempotency_key_reused().code() => {
                claim.give_up().await;
                Err(reused)
            }
            done => claim.finish_alone(done.and_then(|done| reply(wish, &done))).await,
        }
    }

    /// Gives everything back, however far the payment has come: what was set aside is canceled, what was taken is refunded. This is what
    /// undoes a payment, so the provider's refusal is not the last word: the same call again asks anew.
    async fn reverse(
        &self,
        caller: &str,
        idempotency: &Idempotency,
        id: &str,
        reason: &str,
    ) -> Result<Reply, Problem> {
        let claim = match idempotency.begin(&self.db, caller, &reason).await? {
            Begun::Replay(reply) => return Ok(reply),
            Begun::Claimed(claim) => claim,
        };
        claim.finish_alone(self.reversed(id, reason).await).await
    }

    async fn reversed(&self, id: &str, reason: &str) -> Result<Reply, Problem> {
        for _ in 0..REVERSALS {
            let mut conn = self.db.pool().acquire().await?;
            let payment = store::find(&mut conn, id).await?.ok_or_else(no_payment)?;
            drop(conn);
            let reason = reason.to_owned();
            let wish = match payment.captured {
                0 => Wish::Cancel { reason },
                _ if refundable(&payment) > 0 => Wish::Refund { amount: None, reason },
                _ if payment.refunding > 0 => break,
                _ => return Reply::ok(&PaymentView::from(&payment)),
            };
            match self.cashier.carry_out(id, &wish, None).await {
                Ok(done) if done.declined().is_some() => {
                    return Err(Problem::unavailable("the payment provider"));
                }
                Ok(done) => return Reply::ok(&PaymentView::from(&done.payment)),
                // It was captured, or refunded by somebody else, in the meantime.
                Err(moved) if moved.status() == StatusCode::CONFLICT => {}
                Err(problem) => return Err(problem),
            }
        }
        Err(Problem::request_in_flight(1))
    }

    async fn refund(
        &self,
        caller: &str,
        idempotency: &Idempotency,
        id: &str,
        body: &RefundBody,
    ) -> Result<Reply, Problem> {
        let mut checks = Checks::default();
        checks.text(body.reason.trim(), "reason", 1, 200);
        let positive = body.amount.as_ref().is_none_or(|amount| amount.amount >= 1);
        checks.require(positive, "amount.amount", "out_of_range", "Give back at least 1 minor unit.");
        checks.finish()?;
        let amount = self.in_currency(id, body.amount).await?;
        let wish = Wish::Refund { amount, reason: body.reason.trim().to_owned() };
        self.once(caller, idempotency, body, id, &wish).await
    }

    /// The minor units of an amount that has to be in the payment's currency.
    async fn in_currency(&self, id: &str, amount: Option<Money>) -> Result<Option<i64>, Problem> {
        let Some(amount) = amount else { return Ok(None) };
        let mut conn = self.db.pool().acquire().await?;
        let payment = store::find(&mut conn, id).await?.ok_or_else(no_payment)?;
        if payment.currency == amount.currency.as_str() {
            return Ok(Some(amount.amount));
        }
        let message = format!("This payment is in {}.", payment.currency);
        Err(Problem::invalid("amount.currency", "mismatch", message))
    }

    async fn page(&self, query: PaymentQuery) -> Result<Page<PaymentView>, Problem> {
        let filter = ("payments", &query.reference);
        let request = PageRequest::<String>::new(&filter, query.limit, query.cursor.as_deref())?;
        let page =
            PaymentPage { reference: query.reference, before: request.after.clone(), limit: request.fetch() };
        let mut conn = self.db.pool().acquire().await?;
        let rows = store::list(&mut conn, &page).await?;
        Ok(request.page(rows, |payment| payment.id.clone()).map(|payment| PaymentView::from(&payment)))
    }
}

/// Which payments to list.
#[derive(Debug, Deserialize)]
struct PaymentQuery {
    reference: Option<String>,
    cursor: Option<String>,
    limit: Option<Limit>,
}

/// What to answer to a wish that was carried out, or that the provider refused.
fn reply(wish: &Wish, done: &Done) -> Result<Reply, Problem> {
    if let Some(code) = done.declined() {
        return Err(declined(&done.payment, code));
    }
    match (wish, &done.attempt) {
        (Wish::Confirm { error_on_requires_action: true, .. }, Some(attempt))
            if attempt.result == Some(AttemptResult::RequiresAction) =>
        {
            Err(declined(&done.payment, "authentication_required"))
        }
        (Wish::Refund { .. }, Some(attempt)) => Reply::created(&RefundView::new(&done.payment, attempt)),
        _ => Reply::ok(&PaymentView::from(&done.payment)),
    }
}
