//! A key whose whole work is one transaction.

use super::store::{self, Verdict};
use super::{Reply, Scope};
use crate::clock::now_ms;
use crate::db::{Db, Tx};
use crate::problem::Problem;

/// Who holds such a key: nobody else can see it before the transaction ends.
const OWNER: &str = "once";

/// What a key means for this request.
#[derive(Debug)]
pub enum Once {
    /// It was done before: answer this.
    Replay(Reply),
    /// It is ours to do, in this transaction.
    First(First),
}

/// The transaction of the first request with a key. Dropped without [`First::settle`], nothing has happened.
#[derive(Debug)]
pub struct First {
    tx: Tx,
    scope: Scope,
}

pub(super) async fn begin(db: &Db, scope: Scope) -> Result<Once, Problem> {
    let mut tx = db.begin_write().await?;
    let now = now_ms();
    // On PostgreSQL this waits for another transaction that is inserting the same key.
    if !store::insert(&mut tx, &scope, OWNER, now, 0).await? {
        let stored = store::find(&mut tx, &scope).await?;
        match stored.map(|stored| stored.judge(&scope, now)).transpose()? {
            Some(Verdict::Replay(reply)) => return Ok(Once::Replay(reply)),
            Some(Verdict::Abandoned) | None => store::replace(&mut tx, &scope, OWNER, now, 0).await?,
        }
    }
    tx.mark().await?;
    Ok(Once::First(First { tx, scope }))
}

impl First {
    /// The transaction: do the whole effect in it.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Stores the outcome and commits it with the effect. A refusal ([`Problem::is_final`]) is stored too, and what was
    /// done before it is undone; any other problem undoes everything and leaves the key free.
    ///
    /// # Errors
    /// The outcome's problem if it is not final, or a database failure.
    pub async fn settle(mut self, outcome: Result<Reply, Problem>) -> Result<Reply, Problem> {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(problem) if problem.is_final() => {
                self.tx.undo_to_mark().await?;
                Reply::of_problem(&problem)
            }
            Err(problem) => return Err(problem),
        };
        store::complete(&mut self.tx, &self.scope, OWNER, &reply).await?;
        self.tx.commit().await?;
        Ok(reply)
    }
}
