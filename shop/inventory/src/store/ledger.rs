//! The movement ledger: rows are added here and nowhere changed.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// The reason of a SKU's first movement.
pub const INITIAL: &str = "initial";
/// The reason of a sale: the units of a committed reservation left the shelf.
pub const COMMIT: &str = "commit";
/// The reason of a return: the units of a committed reservation are back.
pub const RETURN: &str = "return";

/// One signed change of what lies on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// UUIDv7, so that the order of ids is the order of time.
    pub id: String,
    /// What moved.
    pub sku: String,
    /// How many units came (positive) or went (negative).
    pub delta: i64,
    /// Why: [`INITIAL`], [`COMMIT`], [`RETURN`], or an administrator's own words.
    pub reason: String,
    /// Who: a customer id of an administrator, a calling service, or `seed`.
    pub actor: String,
    /// The reservation that was sold or came back.
    pub reference: Option<String>,
    /// When, in Unix milliseconds.
    #[serde(skip)]
    pub created_at: i64,
}

/// Which movements to list.
#[derive(Debug, Clone, Default)]
pub struct MovementPage {
    /// Only those of this SKU.
    pub sku: Option<String>,
    /// Only those before this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Writes one movement; the caller has changed `stock.on_hand` by the same delta in the same transaction.
///
/// # Errors
/// When the database refuses.
pub async fn add_movement(conn: &mut AnyConnection, movement: &Movement) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO movements (id, sku, delta, reason, actor, reference, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&movement.id)
    .bind(&movement.sku)
    .bind(movement.delta)
    .bind(&movement.reason)
    .bind(&movement.actor)
    .bind(movement.reference.as_deref())
    .bind(movement.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Movements, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn movements(conn: &mut AnyConnection, page: &MovementPage) -> sqlx::Result<Vec<Movement>> {
    let mut sql = "SELECT id, sku, delta, reason, actor, reference, created_at FROM movements
                   WHERE id < $1"
        .to_owned();
    if page.sku.is_some() {
        sql.push_str(" AND sku = $3");
    }
    sql.push_str(" ORDER BY id DESC LIMIT $2");
    // A tilde sorts after every hexadecimal digit: no id is excluded when no cursor is given.
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(page.before.as_deref().unwrap_or("~"));
    query = query.bind(page.limit);
    if let Some(sku) = &page.sku {
        query = query.bind(sku);
    }
    query.fetch_all(conn).await?.iter().map(from_row).collect()
}

fn from_row(row: &AnyRow) -> sqlx::Result<Movement> {
    Ok(Movement {
        id: row.try_get(0)?,
        sku: row.try_get(1)?,
        delta: row.try_get(2)?,
        reason: row.try_get(3)?,
        actor: row.try_get(4)?,
        reference: row.try_get(5)?,
        created_at: row.try_get(6)?,
    })
}
