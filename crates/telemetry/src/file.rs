//! Files of SQLite, as both stores have them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::StoreError;

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

pub fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
