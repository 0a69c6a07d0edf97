//! The table of addresses. Every statement names the customer, so that another's address is as good as none.

use service_kit::clock::new_id;
use service_kit::db::{Db, Tx};

use crate::domain::address::{Address, AddressBody};

type Row = (String, String, String, Option<String>, String, Option<String>, String, String, i64);

fn address((id, name, line1, line2, city, region, postal_code, country, version): Row) -> Address {
    Address { id, name, line1, line2, city, region, postal_code, country, version }
}

/// Up to `most` addresses of a customer after this id.
pub async fn list(db: &Db, customer: &str, after: &str, most: i64) -> Result<Vec<Address>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, line1, line2, city, region, postal_code, country, version FROM addresses \
         WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(customer)
    .bind(after)
    .bind(most)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(address).collect())
}

/// One address.
pub async fn find(
    tx: &mut sqlx::AnyConnection,
    customer: &str,
    id: &str,
) -> Result<Option<Address>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, name, line1, line2, city, region, postal_code, country, version FROM addresses \
         WHERE customer_id = $1 AND id = $2",
    )
    .bind(customer)
    .bind(id)
    .fetch_optional(tx)
    .await?;
    Ok(row.map(address))
}

/// How many a customer has.
pub async fn count(tx: &mut Tx, customer: &str) -> Result<i64, sqlx::Error> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM addresses WHERE customer_id = $1")
        .bind(customer)
        .fetch_one(&mut **tx)
        .await?;
    Ok(count)
}

/// Adds an address.
pub async fn insert(tx: &mut Tx, customer: &str, body: AddressBody) -> Result<Address, sqlx::Error> {
    let address = body.into_address(new_id(), 1);
    sqlx::query(
        "INSERT INTO addresses (id, customer_id, name, line1, line2, city, region, postal_code, country, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)",
    )
    .bind(&address.id)
    .bind(customer)
    .bind(&address.name)
    .bind(&address.line1)
    .bind(&address.line2)
    .bind(&address.city)
    .bind(&address.region)
    .bind(&address.postal_code)
    .bind(&address.country)
    .execute(&mut **tx)
    .await?;
    Ok(address)
}

/// Replaces an address at this version; false if it is at another.
pub async fn replace(
    tx: &mut Tx,
    customer: &str,
    version: i64,
    address: &Address,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE addresses SET name = $1, line1 = $2, line2 = $3, city = $4, region = $5, postal_code = $6, country = $7, \
         version = version + 1 WHERE customer_id = $8 AND id = $9 AND version = $10",
    )
    .bind(&address.name)
    .bind(&address.line1)
    .bind(&address.line2)
    .bind(&address.city)
    .bind(&address.region)
    .bind(&address.postal_code)
    .bind(&address.country)
    .bind(customer)
    .bind(&address.id)
    .bind(version)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes an address at this version; false if it is at another.
pub async fn delete(tx: &mut Tx, customer: &str, id: &str, version: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM addresses WHERE customer_id = $1 AND id = $2 AND version = $3")
        .bind(customer)
        .bind(id)
        .bind(version)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
