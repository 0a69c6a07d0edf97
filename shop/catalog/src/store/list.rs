//! The list: search, order and place in one statement made of fixed pieces; everything from outside is bound.

use std::fmt::Write;

use service_kit::db::Db;
use sqlx::AssertSqlSafe;

use super::products::{COLUMNS, product};
use crate::domain::product::Product;
use crate::domain::query::{Filter, Place};

/// Up to `most` products that the filter lets through, after a place in its order.
pub async fn list(
    db: &Db,
    filter: &Filter,
    after: Option<&Place>,
    most: i64,
) -> Result<Vec<Product>, sqlx::Error> {
    let sql = statement(filter, after.is_some());
    let mut query = sqlx::query(AssertSqlSafe(sql));
    if let Some(status) = filter.status {
        query = query.bind(status);
    }
    if let Some(category) = &filter.category {
        query = query.bind(category);
    }
    for word in &filter.words {
        query = query.bind(pattern(word));
    }
    query = match after {
        None => query,
        Some(Place::Number(key, id)) => query.bind(*key).bind(*key).bind(id),
        Some(Place::Text(key, id)) => query.bind(key).bind(key).bind(id),
    };
    query.bind(most).fetch_all(db.pool()).await?.iter().map(product).collect()
}

fn statement(filter: &Filter, after: bool) -> String {
    let mut bound = 0;
    let mut next = || {
        bound += 1;
        format!("${bound}")
    };
    let mut sql = format!("SELECT {COLUMNS} FROM products WHERE 1 = 1");
    // Writing to a String cannot fail.
    if filter.status.is_some() {
        let _ = write!(sql, " AND status = {}", next());
    }
    if filter.category.is_some() {
        let _ = write!(sql, " AND category = {}", next());
    }
    for _ in &filter.words {
        let _ = write!(sql, " AND search_text LIKE {} ESCAPE '\\'", next());
    }
    let column = filter.sort.column();
    let (beyond, direction) = if filter.sort.is_descending() { ("<", "DESC") } else { (">", "ASC") };
    if after {
        let (key, same, id) = (next(), next(), next());
        let _ = write!(sql, " AND ({column} {beyond} {key} OR ({column} = {same} AND id {beyond} {id}))");
    }
    let _ = write!(sql, " ORDER BY {column} {direction}, id {direction} LIMIT {}", next());
    sql
}

/// A word anywhere in the text, with LIKE's own signs taken as they are written.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
