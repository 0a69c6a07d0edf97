//! The built-in test provider. It keeps its own books, as a provider would on its side: what it was asked,
//! by idempotency key, and the charges it made. Asking again never charges anew.

use std::time::Duration;

use service_kit::clock::{new_id, now_ms};
use service_kit::db::{Db, Tx};
use service_kit::problem::Problem;
use sqlx::Row;

use super::{Answer, Asked, Outcome, Provider, Question};
use crate::domain::Operation;

const SLOW: &str = "pm_card_slow";
const LOST_REPLY: &str = "pm_card_lost_reply";
const CAPTURE_FAILS: &str = "pm_card_capture_fails";
const AUTHENTICATION: &str = "pm_card_authentication_required";

/// A provider whose payment methods say what will happen to them.
#[derive(Debug, Clone)]
pub struct TestProvider {
    db: Db,
    slow: Duration,
}

/// A charge in the provider's books.
struct Charge {
    id: String,
    payment_method: String,
    status: String,
    amount: i64,
    captured: i64,
    refunded: i64,
}

impl TestProvider {
    /// `slow`: how long `pm_card_slow` keeps its answer back.
    #[must_use]
    pub const fn new(db: Db, slow: Duration) -> Self {
        Self { db, slow }
    }

    async fn answer(&self, question: &Question) -> Answer {
        let answered = self.decide_in_own_books(question).await;
        if question.payment_method.as_deref() == Some(SLOW) {
            tokio::time::sleep(self.slow).await;
        }
        answered.unwrap_or_else(|problem| Answer::unknown(problem.detail()))
    }

    async fn decide_in_own_books(&self, question: &Question) -> Result<Answer, Problem> {
        let mut tx = self.db.begin_write().await?;
        let answer = decide_once(&mut tx, question).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

impl Provider for TestProvider {
    fn ask<'a>(&'a self, question: &'a Question) -> Asked<'a> {
        Box::pin(self.answer(question))
    }

    fn loses_reply(&self, payment_method: &str) -> bool {
        payment_method == LOST_REPLY
    }
}

/// Answers from the books when this key was asked before; else decides, and writes the answer down.
async fn decide_once(tx: &mut Tx, question: &Question) -> Result<Answer, Problem> {
    tx.lock(&format!("test-provider/{}", question.payment_id)).await?;
    let known: Option<String> =
        sqlx::query_scalar("SELECT answer FROM test_provider_requests WHERE idempotency_key = $1")
            .bind(&question.key)
            .fetch_optional(&mut **tx)
            .await?;
    if let Some(known) = known {
        return serde_json::from_str(&known).map_err(Problem::internal);
    }
    let answer = decide(tx, question).await?;
    sqlx::query(
        "INSERT INTO test_provider_requests (idempotency_key, answer, created_at) VALUES ($1, $2, $3)",
    )
    .bind(&question.key)
    .bind(serde_json::to_string(&answer).map_err(Problem::internal)?)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(answer)
}

async fn decide(tx: &mut Tx, question: &Question) -> Result<Answer, Problem> {
    let charge = match &question.reference {
        Some(reference) => find(tx, reference).await?,
        None => None,
    };
    match (question.operation, charge) {
        (Operation::Authorize, Some(charge)) if charge.status == "requires_action" => {
            // Asked again about the same charge: by now the customer has proved who they are.
            save(tx, &Charge { status: "authorized".to_owned(), ..charge }).await
        }
        (Operation::Authorize, _) => authorize(tx, question).await,
        (Operation::Capture, Some(charge)) => capture(tx, question, charge).await,
        (Operation::Void, Some(charge)) if charge.captured == 0 => {
            save(tx, &Charge { status: "voided".to_owned(), ..charge }).await
        }
        (Operation::Refund, Some(charge)) if charge.refunded + question.amount <= charge.captured => {
            let refunded = charge.refunded + question.amount;
            save(tx, &Charge { refunded, ..charge }).await
        }
        (Operation::Refund, Some(_)) => Ok(Answer::declined("refund_exceeds_charge")),
        (Operation::Void, Some(_)) => Ok(Answer::declined("charge_already_captured")),
        (_, None) => Ok(Answer::declined("no_such_charge")),
    }
}

async fn authorize(tx: &mut Tx, question: &Question) -> Result<Answer, Problem> {
    let method = question.payment_method.as_deref().unwrap_or_default();
    let status = match method {
        "pm_card_visa" | SLOW | LOST_REPLY | CAPTURE_FAILS => "authorized",
        AUTHENTICATION => "requires_action",
        "pm_card_declined" => return Ok(Answer::declined("generic_decline")),
        "pm_card_insufficient_funds" => return Ok(Answer::declined("insufficient_funds")),
        "pm_card_expired" => return Ok(Answer::declined("expired_card")),
        _ => return Ok(Answer::declined("unknown_payment_method")),
    };
    let charge = Charge {
        id: format!("ch_{}", new_id()),
        payment_method: method.to_owned(),
        status: status.to_owned(),
        amount: question.amount,
        captured: 0,
        refunded: 0,
    };
    sqlx::query(
        "INSERT INTO test_provider_charges (id, payment_id, payment_method, status, amount, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&charge.id)
    .bind(&question.payment_id)
    .bind(method)
    .bind(status)
    .bind(question.amount)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(about(&charge))
}

async fn capture(tx: &mut Tx, question: &Question, charge: Charge) -> Result<Answer, Problem> {
    if charge.payment_method == CAPTURE_FAILS {
        return Ok(Answer::declined("capture_failed"));
    }
    if charge.status != "authorized" || question.amount > charge.amount {
        return Ok(Answer::declined("not_capturable"));
    }
    save(tx, &Charge { status: "captured".to_owned(), captured: question.amount, ..charge }).await
}

async fn find(tx: &mut Tx, id: &str) -> Result<Option<Charge>, Problem> {
    let row = sqlx::query(
        "SELECT id, payment_method, status, amount, captured, refunded FROM test_provider_charges WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Charge {
        id: row.try_get(0)?,
        payment_method: row.try_get(1)?,
        status: row.try_get(2)?,
        amount: row.try_get(3)?,
        captured: row.try_get(4)?,
        refunded: row.try_get(5)?,
    }))
}

async fn save(tx: &mut Tx, charge: &Charge) -> Result<Answer, Problem> {
    sqlx::query("UPDATE test_provider_charges SET status = $2, captured = $3, refunded = $4 WHERE id = $1")
        .bind(&charge.id)
        .bind(&charge.status)
        .bind(charge.captured)
        .bind(charge.refunded)
        .execute(&mut **tx)
        .await?;
    Ok(about(charge))
}

fn about(charge: &Charge) -> Answer {
    let outcome = if charge.status == "requires_action" { Outcome::ActionRequired } else { Outcome::Done };
    Answer { outcome, reference: Some(charge.id.clone()) }
}
