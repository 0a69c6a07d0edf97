//! The HTTP surface: `public` for customers and administrators, `internal` for orders.

mod internal;
mod lost_reply;
mod public;

use axum::Router;
use serde::{Deserialize, Serialize};
use service_kit::auth;
use service_kit::db::Db;
use service_kit::idempotency::{Begun, Idempotency, Reply};
use service_kit::money::Money;
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::{Checks, Problem};

use crate::cashier::{Cashier, Done};
use crate::intent::{AttemptResult, Wish};
use crate::store::{self, PaymentPage};
use crate::view::{PaymentView, RefundView, declined, no_payment};

/// What every handler may use.
#[derive(Clone)]
struct Shared {
    db: Db,
    cashier: Cashier,
}

/// All routes of the service.
pub fn router(db: Db, cashier: Cashier) -> Router {
    let internal = auth::internal(&["orders"], internal::routes());
    public::routes().merge(internal).with_state(Shared { db, cashier })
}

/// A refund as it is asked for, by orders or by an administrator.
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
    let result = done.attempt.as_ref().and_then(|attempt| attempt.result.as_ref());
    if let Some(AttemptResult::Declined(code)) = result {
        return Err(declined(&done.payment, code));
    }
    match (wish, &done.attempt) {
        (Wish::Refund { .. }, Some(attempt)) => Reply::created(&RefundView::new(&done.payment, attempt)),
        _ => Reply::ok(&PaymentView::from(&done.payment)),
    }
}
