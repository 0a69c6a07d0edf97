//! Brings a database up to date, once, even if several replicas start on it together.

use sha2::{Digest, Sha256};

use super::{Db, DbError};

/// A step of the schema: its name, which orders and identifies it, and its SQL (several statements allowed).
/// Once released it must never change. Services list them with `include_str!`.
pub type Migration = (&'static str, &'static str);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
                     (name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// All in one transaction under one lock: a replica that starts meanwhile waits, and then finds the work done.
pub(super) async fn apply(db: &Db, migrations: &[Migration]) -> Result<(), DbError> {
    let at = |name: &str| {
        let name = name.to_owned();
        move |source| DbError::Migration { name, source }
    };
    let mut tx = db.begin_write().await.map_err(DbError::Connect)?;
    tx.lock("service-kit/migrations").await.map_err(DbError::Connect)?;
    sqlx::query(TABLE).execute(&mut *tx).await.map_err(at("schema_migrations"))?;
    for (name, sql) in migrations {
        let checksum = hex(&Sha256::digest(sql.as_bytes()));
        let known: Option<(String,)> =
            sqlx::query_as("SELECT checksum FROM schema_migrations WHERE name = $1")
                .bind(*name)
                .fetch_optional(&mut *tx)
                .await
                .map_err(at(name))?;
        match known {
            Some((applied,)) if applied == checksum => continue,
            Some(_) => return Err(DbError::Altered((*name).to_owned())),
            None => {}
        }
        sqlx::raw_sql(*sql).execute(&mut *tx).await.map_err(at(name))?;
        sqlx::query("INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)")
            .bind(*name)
            .bind(checksum)
            .bind(crate::clock::now_ms())
            .execute(&mut *tx)
            .await
            .map_err(at(name))?;
        tracing::info!(migration = name, "migration applied");
    }
    tx.commit().await.map_err(at("commit"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
