//! Carries out wishes: writes the attempt down, asks the provider, writes the answer down. Any part of it may be
//! repeated, by anybody and at the same time: what is asked has a key, and what is written is conditional.

use std::sync::Arc;

use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx};
use service_kit::outbox::Outbox;
use service_kit::problem::Problem;

use crate::domain::State;
use crate::intent::{self, Attempt, AttemptResult, Payment, Refusal, Settled, Wish};
use crate::provider::{Answer, Outcome, Provider};
use crate::view::{PaymentView, no_payment, refused};
use crate::{store, webhooks};

/// How long an attempt is left to the request that started it, before somebody else asks again.
const OWN_MS: i64 = 30_000;
const LONGEST_PAUSE_MS: i64 = 60_000;
/// How often a wish gives way to another operation of the same payment before it gives up.
const PATIENCE: usize = 5;

/// Moves payments along. Cheap to clone.
#[derive(Clone)]
pub struct Cashier {
    db: Db,
    provider: Arc<dyn Provider>,
    lifetime_ms: i64,
    webhooks: Option<Outbox>,
}

/// A wish that was carried out or refused by the provider: the payment now, and the attempt with its result. There
/// is no attempt when nobody had to be asked.
#[derive(Debug)]
pub struct Done {
    /// The payment as it is now.
    pub payment: Payment,
    /// What was asked, and what came of it.
    pub attempt: Option<Attempt>,
}

impl Done {
    /// The provider's code, if it refused.
    pub fn declined(&self) -> Option<&str> {
        match self.attempt.as_ref()?.result.as_ref()? {
            AttemptResult::Declined(code) => Some(code),
            _ => None,
        }
    }
}

enum Started {
    /// Nobody has to be asked any more.
    Done(Box<Done>),
    /// Ask this.
    Ask(Attempt),
    /// Something else is under way and has to be settled first.
    Blocked(Attempt),
}

impl Started {
    fn done(payment: Payment, attempt: Option<Attempt>) -> Self {
        Self::Done(Box::new(Done { payment, attempt }))
    }
}

impl Cashier {
    /// `lifetime_ms`: how long an authorization stands; `webhooks`: where to put what happened,
    /// `None` when nobody listens.
    pub fn new(db: Db, provider: Arc<dyn Provider>, lifetime_ms: i64, webhooks: Option<Outbox>) -> Self {
        Self { db, provider, lifetime_ms, webhooks }
    }

    /// Who moves the money.
    pub fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    /// Carries out a wish. `request` names the call that has it: the same call again finds what it did before.
    ///
    /// # Errors
    /// 404, 409 or 422 when it is not legal; 503 when the provider's answer is not known yet: then the same call
    /// has to be made again, and the resolver asks meanwhile.
    pub async fn carry_out(&self, id: &str, wish: &Wish, request: Option<&str>) -> Result<Done, Problem> {
        for _ in 0..PATIENCE {
            match self.start(id, wish, request).await? {
                Started::Done(done) => return Ok(*done),
                Started::Ask(attempt) => return self.ask(&attempt).await,
                Started::Blocked(other) => drop(self.ask(&other).await?),
            }
        }
        Err(Problem::request_in_flight(1))
    }

    async fn start(&self, id: &str, wish: &Wish, request: Option<&str>) -> Result<Started, Problem> {
        let mut tx = self.db.begin_write().await?;
        if let Some(attempt) = self.started_before(&mut tx, request).await? {
            return match attempt.result {
                _ if !wish.led_to(&attempt) => Err(Problem::idempotency_key_reused()),
                None => Ok(Started::Ask(attempt)),
                Some(_) => {
                    let payment = store::find(&mut tx, id).await?.ok_or_else(no_payment)?;
                    Ok(Started::done(payment, Some(attempt)))
                }
            };
        }
        // Each round that does not return has seen somebody else's change, and decides again over it.
        loop {
            let payment = store::find(&mut tx, id).await?.ok_or_else(no_payment)?;
            match intent::begin(&payment, wish, request, now_ms()) {
                Ok((changed, None)) if changed.state == payment.state => {
                    return Ok(Started::done(payment, None));
                }
                Ok((changed, attempt)) => {
                    if store::replace(&mut tx, &payment, &changed).await? {
                        return self.begun(tx, changed, attempt).await;
                    }
                }
                Err(Refusal::Conflict(State::Processing(_))) => {
                    if let Some(open) = store::open_attempt(&mut tx, id).await? {
                        return Ok(Started::Blocked(open));
                    }
                }
                Err(refusal) => return Err(refused(refusal, &payment.currency)),
            }
        }
    }

    /// The payment's row is changed: writes down what goes with it.
    async fn begun(
        &self,
        mut tx: Tx,
        changed: Payment,
        attempt: Option<Attempt>,
    ) -> Result<Started, Problem> {
        if let Some(attempt) = attempt {
            store::add_attempt(&mut tx, &attempt, attempt.created_at.saturating_add(OWN_MS)).await?;
            tx.commit().await?;
            return Ok(Started::Ask(attempt));
        }
        self.announce(&mut tx, "payment.canceled", &changed).await?;
        tx.commit().await?;
        self.wake_webhooks();
        Ok(Started::done(changed, None))
    }

    async fn started_before(&self, tx: &mut Tx, request: Option<&str>) -> Result<Option<Attempt>, Problem> {
        match request {
            Some(request) => Ok(store::attempt_of_request(tx, request).await?),
            None => Ok(None),
        }
    }

    /// Asks the provider and writes down the answer. Whoever asks second finds what the first one wrote.
    ///
    /// # Errors
    /// 503 when the answer is not known yet.
    pub async fn ask(&self, attempt: &Attempt) -> Result<Done, Problem> {
        let mut conn = self.db.pool().acquire().await?;
        let payment = store::find(&mut conn, &attempt.payment_id).await?.ok_or_else(no_payment)?;
        drop(conn);
        let answer = self.provider.ask(&intent::question(&payment, attempt)).await;
        let done = self.record(attempt, &answer).await?;
        self.wake_webhooks();
        Ok(done)
    }

    async fn record(&self, attempt: &Attempt, answer: &Answer) -> Result<Done, Problem> {
        let mut tx = self.db.begin_write().await?;
        loop {
            let now = now_ms();
            // The attempt first: a payment that is read after it is at least as new.
            let known = store::attempt(&mut tx, &attempt.id).await?;
            let payment = store::find(&mut tx, &attempt.payment_id).await?.ok_or_else(no_payment)?;
            if let Some(known) = known.filter(|known| known.result.is_some()) {
                return Ok(Done { payment, attempt: Some(known) });
            }
            let Some(settled) = intent::settle(&payment, attempt, answer, self.lifetime_ms, now) else {
                match store::attempt(&mut tx, &attempt.id).await? {
                    Some(known) if known.result.is_some() => continue,
                    _ => return self.leave_open(tx, attempt, answer).await,
                }
            };
            if store::replace(&mut tx, &payment, &settled.payment).await? {
                return self.finish(tx, attempt, settled, now).await;
            }
        }
    }

    /// The payment's row is changed, so nobody else can be settling this attempt.
    async fn finish(
        &self,
        mut tx: Tx,
        attempt: &Attempt,
        settled: Settled,
        now: i64,
    ) -> Result<Done, Problem> {
        if !store::finish_attempt(&mut tx, &attempt.id, &settled.result, now).await? {
            return Err(Problem::request_in_flight(1));
        }
        store::add_entries(&mut tx, attempt, &settled, now).await?;
        self.announce(&mut tx, settled.event, &settled.payment).await?;
        tx.commit().await?;
        if let AttemptResult::Declined(code) = &settled.result {
            tracing::info!(
                payment = attempt.payment_id,
                code,
                event = settled.event,
                "refused by the provider"
            );
        }
        let attempt = Attempt { result: Some(settled.result), ..attempt.clone() };
        Ok(Done { payment: settled.payment, attempt: Some(attempt) })
    }

    /// Nothing is known yet: the attempt stays open, and is due again after a pause that grows.
    async fn leave_open(&self, mut tx: Tx, attempt: &Attempt, answer: &Answer) -> Result<Done, Problem> {
        let why = match &answer.outcome {
            Outcome::Unknown { why } => why.as_str(),
            _ => "the answer does not fit the payment's state",
        };
        let operation = attempt.operation.as_str();
        tracing::warn!(
            payment = attempt.payment_id,
            operation,
            why,
            "the provider's answer is not known yet"
        );
        store::postpone(&mut tx, attempt, now_ms().saturating_add(pause_ms(attempt.tries))).await?;
        tx.commit().await?;
        Err(Problem::unavailable("the payment provider"))
    }

    async fn announce(&self, tx: &mut Tx, event: &str, payment: &Payment) -> Result<(), Problem> {
        if let Some(outbox) = &self.webhooks {
            outbox.enqueue(tx, webhooks::DESTINATION, event, &PaymentView::from(payment)).await?;
        }
        Ok(())
    }

    fn wake_webhooks(&self) {
        if let Some(outbox) = &self.webhooks {
            outbox.wake();
        }
    }
}

/// The pause before the next try, after so many without an answer.
pub(crate) fn pause_ms(tries: i64) -> i64 {
    let doublings = u32::try_from(tries.clamp(0, 10)).unwrap_or(10);
    (500_i64 << doublings).min(LONGEST_PAUSE_MS)
}
