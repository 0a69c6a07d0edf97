//! What the database refuses, and what that means for the request.

use std::path::PathBuf;

use sqlx::error::ErrorKind;

use crate::problem::Problem;

/// Why a database cannot be opened or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `DATABASE_URL` is not one that we can use.
    #[error("DATABASE_URL cannot be used: {0}")]
    Url(String),
    /// The folder for the SQLite file cannot be made.
    #[error("cannot create the database's folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No connection.
    #[error("cannot open the database: {0}")]
    Connect(sqlx::Error),
    /// A migration was refused by the database.
    #[error("migration {name} failed: {source}")]
    Migration {
        /// Its name.
        name: String,
        /// The database's answer.
        source: sqlx::Error,
    },
    /// A migration that this database already has was changed afterwards.
    #[error("migration {0} was changed after it was applied to this database: restore it and add a new one")]
    Altered(String),
}

/// Whether a unique or primary key was violated.
#[must_use]
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    kind(error) == Some(ErrorKind::UniqueViolation)
}

/// Whether a CHECK was violated.
#[must_use]
pub fn is_check_violation(error: &sqlx::Error) -> bool {
    kind(error) == Some(ErrorKind::CheckViolation)
}

/// Whether a foreign key was violated.
#[must_use]
pub fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    kind(error) == Some(ErrorKind::ForeignKeyViolation)
}

fn kind(error: &sqlx::Error) -> Option<ErrorKind> {
    error.as_database_error().map(sqlx::error::DatabaseError::kind)
}

/// Whether running the same transaction again may succeed: SQLite busy or locked, PostgreSQL deadlock or serialization failure.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(|e| e.code()) else { return false };
    match code.parse::<u32>() {
        // The low byte of an SQLite result code is its kind: 5 SQLITE_BUSY, 6 SQLITE_LOCKED. SQLSTATEs have five digits.
        Ok(sqlite) if code.len() < 5 => matches!(sqlite & 0xff, 5 | 6),
        _ => matches!(code.as_ref(), "40001" | "40P01" | "55P03"),
    }
}

/// PostgreSQL's class 22: the data cannot be stored (a NUL in a text, a number out of range).
fn is_bad_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|e| e.code())
        .is_some_and(|code| code.len() == 5 && code.starts_with("22"))
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(cause = %error, "the database is busy");
            return Self::unavailable("the database");
        }
        if is_bad_data(&error) {
            return Self::validation_failed();
        }
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::WorkerCrashed => {
                tracing::error!(cause = %error, "the database cannot be reached");
                Self::unavailable("the database")
            }
            other => Self::internal(other),
        }
    }
}
