//! The table of customers.

use service_kit::auth::Role;
use service_kit::clock::{new_id, now_ms};
use service_kit::db::{Db, Tx, is_unique_violation};
use sqlx::AnyConnection;

use crate::domain::customer::{Customer, Email, NewCustomer};

type Row = (String, String, String, String, String, i64, i64);

fn customer((id, email, name, role, password_hash, version, created_at): Row) -> Customer {
    let role = if role == "admin" { Role::Admin } else { Role::Customer };
    Customer { id, email, name, role, password_hash, version, created_at }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Customer => "customer",
    }
}

/// Adds a customer; `None` if the address is taken.
pub async fn insert(
    db: &Db,
    new: &NewCustomer,
    password_hash: &str,
) -> Result<Option<Customer>, sqlx::Error> {
    let mut tx = db.begin_write().await?;
    let now = now_ms();
    let id = new_id();
    let inserted = sqlx::query(
        "INSERT INTO customers (id, email, name, role, password_hash, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7)",
    )
    .bind(&id)
    .bind(new.email.as_str())
    .bind(&new.name)
    .bind(role_name(new.role))
    .bind(password_hash)
    .bind(now)
    .bind(now)
    .execute(&mut *tx)
    .await;
    match inserted {
        Err(error) if is_unique_violation(&error) => return Ok(None),
        other => other?,
    };
    let added = by_id(&mut tx, &id).await?;
    tx.commit().await?;
    Ok(added)
}

/// Finds a customer by address.
pub async fn by_email(db: &Db, email: &Email) -> Result<Option<Customer>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, email, name, role, password_hash, version, created_at FROM customers WHERE email = $1",
    )
    .bind(email.as_str())
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(customer))
}

/// Finds a customer by id.
pub async fn by_id(conn: &mut AnyConnection, id: &str) -> Result<Option<Customer>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, email, name, role, password_hash, version, created_at FROM customers WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(customer))
}

/// What an update found.
pub enum Updated {
    /// It is done.
    Done,
    /// Someone else changed it since.
    Changed,
    /// The new address is taken.
    EmailTaken,
}

/// Changes name and address if the customer is still at this version.
pub async fn update(
    tx: &mut Tx,
    id: &str,
    version: i64,
    name: &str,
    email: &str,
) -> Result<Updated, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE customers SET name = $1, email = $2, version = version + 1, updated_at = $3 WHERE id = $4 AND version = $5",
    )
    .bind(name)
    .bind(email)
    .bind(now_ms())
    .bind(id)
    .bind(version)
    .execute(&mut **tx)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(Updated::Done),
        Ok(_) => Ok(Updated::Changed),
        Err(error) if is_unique_violation(&error) => Ok(Updated::EmailTaken),
        Err(error) => Err(error),
    }
}

/// Replaces a password hash if it is still the one that was checked; false otherwise.
pub async fn set_password(tx: &mut Tx, id: &str, checked: &str, hash: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("UPDATE customers SET password_hash = $1 WHERE id = $2 AND password_hash = $3")
        .bind(hash)
        .bind(id)
        .bind(checked)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
