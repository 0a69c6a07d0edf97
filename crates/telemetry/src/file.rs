//! Files of SQLite, as all stores have them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::{StoreError, TIERS};

/// Opens a file of its owner alone, makes it when there is none, and puts `schema` into it.
pub fn open(path: &Path, schema: &str) -> Result<Connection, StoreError> {
    // SQLite gives its other files the mode of the database.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A crash of the machine may take the last seconds; the file stays whole.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch(schema)?;
    Ok(connection)
}

/// What is in use of the file, in bytes: what was removed is filled again.
pub fn bytes(connection: &Connection) -> Result<u64, StoreError> {
    let ask = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(count);
    let used = ask("PRAGMA page_count")?.saturating_sub(ask("PRAGMA freelist_count")?);
    Ok(used * ask("PRAGMA page_size")?)
}

/// What part of a tier's time goes at once where there is too much.
const SHARE: u64 = 10;

/// Removes from `table`, which has steps of the tiers from `finest` on, what is older at `now` (Unix seconds) than its tier keeps,
/// and then the oldest of the finest as long as more than `limit` bytes are in use.
pub fn forget(file: &Connection, table: &str, finest: usize, limit: u64, now: u64) -> Result<(), StoreError> {
    let mut remove = file.prepare_cached(&format!("DELETE FROM {table} WHERE tier = ?1 AND at < ?2"))?;
    let mut find = file.prepare_cached(&format!("SELECT MIN(at) FROM {table} WHERE tier = ?1"))?;
    for (tier, length) in TIERS.iter().enumerate().skip(finest) {
        remove.execute([number(tier as u64), number(now.saturating_sub(length.keep + length.step))])?;
    }
    while bytes(file)? > limit {
        let mut shrunk = false;
        for (tier, length) in TIERS.iter().enumerate().skip(finest) {
            let oldest: Option<i64> = find.query_row([number(tier as u64)], |row| row.get(0))?;
            // The last step of the finest is worth more than a month ago.
            if let Some(oldest) = oldest.map(count).filter(|oldest| *oldest + length.step * SHARE < now) {
                let age = now.saturating_sub(oldest);
                remove.execute([number(tier as u64), number(oldest + (age / SHARE).max(length.step))])?;
                shrunk = true;
                break;
            }
        }
        if !shrunk {
            break;
        }
    }
    Ok(())
}

pub fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
