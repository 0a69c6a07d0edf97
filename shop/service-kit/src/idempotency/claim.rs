//! A key held for work that spans several transactions: a lease that its process renews.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::store::{self, Verdict};
use super::{Reply, Scope};
use crate::clock::{new_id, now_ms};
use crate::db::{Db, Tx};
use crate::problem::Problem;

/// How long a claim holds after its process died.
pub const LEASE: Duration = Duration::from_secs(10);

/// What a key means for this request.
#[derive(Debug)]
pub enum Begun {
    /// It was done before: answer this.
    Replay(Reply),
    /// It is ours to do.
    Claimed(Claim),
}

/// A key that this request holds. Dropped without an end, it is given up, and the same key can be tried again.
#[derive(Debug)]
pub struct Claim {
    db: Db,
    scope: Scope,
    owner: String,
    taken_over: bool,
    renewal: AbortHandle,
    ended: bool,
}

pub(super) async fn begin(db: &Db, scope: Scope, lease: Duration) -> Result<Begun, Problem> {
    let owner = new_id();
    let mut tx = db.begin_write().await?;
    let taken_over = match claim_in(&mut tx, &scope, &owner, lease).await? {
        Claimed::Replay(reply) => return Ok(Begun::Replay(reply)),
        Claimed::New => false,
        Claimed::TakenOver => true,
    };
    tx.commit().await?;
    let renewal = tokio::spawn(keep_renewing(db.clone(), scope.clone(), owner.clone(), lease)).abort_handle();
    Ok(Begun::Claimed(Claim { db: db.clone(), scope, owner, taken_over, renewal, ended: false }))
}

enum Claimed {
    Replay(Reply),
    New,
    TakenOver,
}

async fn claim_in(tx: &mut Tx, scope: &Scope, owner: &str, lease: Duration) -> Result<Claimed, Problem> {
    let now = now_ms();
    if store::insert(tx, scope, owner, now, lease_end(lease)).await? {
        return Ok(Claimed::New);
    }
    let stored = store::find(tx, scope).await?;
    match stored.map(|stored| stored.judge(scope, now)).transpose()? {
        Some(Verdict::Replay(reply)) => Ok(Claimed::Replay(reply)),
        Some(Verdict::Abandoned) | None => {
            store::replace(tx, scope, owner, now, lease_end(lease)).await?;
            Ok(Claimed::TakenOver)
        }
    }
}

fn lease_end(lease: Duration) -> i64 {
    now_ms() + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2)
}

async fn keep_renewing(db: Db, scope: Scope, owner: String, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 4).await;
        match store::renew(&db, &scope, &owner, lease_end(lease)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(cause = %error, "an idempotency claim could not be renewed"),
        }
    }
}

impl Claim {
    /// Whether an earlier request with this key died on the way, so that part of the work may be done already.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// Stores the answer in `tx`, the transaction of the last effect; commit it afterwards.
    ///
    /// # Errors
    /// 409 `request_in_flight` if the lease ran out and another request took the key: do not commit then.
    pub async fn finish(mut self, tx: &mut Tx, reply: &Reply) -> Result<(), Problem> {
        store::complete(tx, &self.scope, &self.owner, reply).await?;
        self.end();
        Ok(())
    }

    /// Stores the answer in a transaction of its own: for an answer without a further effect, such as a refusal.
    /// A problem that is not final is not stored, and the key is given up.
    ///
    /// # Errors
    /// The problem itself, 409 `request_in_flight` if the claim was lost, or a database failure.
    pub async fn finish_alone(mut self, outcome: Result<Reply, Problem>) -> Result<Reply, Problem> {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(problem) if problem.is_final() => Reply::of_problem(&problem),
            Err(problem) => {
                self.give_up().await;
                return Err(problem);
            }
        };
        let mut tx = self.db.begin_write().await?;
        store::complete(&mut tx, &self.scope, &self.owner, &reply).await?;
        tx.commit().await?;
        self.end();
        Ok(reply)
    }

    /// Gives the key up, so that the same key can be tried again at once.
    pub async fn give_up(mut self) {
        self.end();
        if let Err(error) = store::forget(&self.db, &self.scope, &self.owner).await {
            tracing::warn!(cause = %error, "an idempotency claim stays until its lease runs out");
        }
    }

    fn end(&mut self) {
        self.renewal.abort();
        self.ended = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.renewal.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.ended {
            return;
        }
        let (db, scope, owner) = (self.db.clone(), self.scope.clone(), self.owner.clone());
        runtime.spawn(async move {
            if let Err(error) = store::forget(&db, &scope, &owner).await {
                tracing::warn!(cause = %error, "an idempotency claim stays until its lease runs out");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::idempotency::MIGRATION;

    #[tokio::test]
    async fn a_claim_holds_while_its_process_lives_and_ends_some_time_after_it_died() {
        let folder = tempfile::tempdir().unwrap();
        let db =
            Db::open(&format!("sqlite://{}/test.db", folder.path().display()), &[MIGRATION]).await.unwrap();
        let lease = Duration::from_millis(300);
        let text = str::to_owned;
        let scope =
            Scope { caller: text("c"), route: text("POST /x"), key: text("k"), fingerprint: text("f") };
        let Begun::Claimed(claim) = begin(&db, scope.clone(), lease).await.unwrap() else {
            panic!("it is new")
        };
        assert!(!claim.taken_over());
        let began = Instant::now();
        while began.elapsed() < lease * 4 {
            assert_eq!(begin(&db, scope.clone(), lease).await.unwrap_err().code(), "request_in_flight");
            tokio::time::sleep(lease / 10).await;
        }
        // The process dies: nothing renews the claim, and nothing gives it up.
        claim.renewal.abort();
        std::mem::forget(claim);
        let died = Instant::now();
        let next = loop {
            match begin(&db, scope.clone(), lease).await {
                Ok(Begun::Claimed(claim)) => break claim,
                Ok(Begun::Replay(_)) => panic!("nothing was stored"),
                Err(problem) => assert_eq!(problem.code(), "request_in_flight"),
            }
            assert!(died.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(lease / 10).await;
        };
        assert!(next.taken_over());
        next.give_up().await;
        let Begun::Claimed(free) = begin(&db, scope, lease).await.unwrap() else { panic!("it was given up") };
        assert!(!free.taken_over());
    }
}
