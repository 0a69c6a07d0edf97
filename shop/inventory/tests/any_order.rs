//! Any operations in any order keep the books: the store against a model that knows only the rules.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use service_kit::db::Db;
use shop_inventory::domain::{Event, Line, Status};
use shop_inventory::store::{self, Movement, Reserved};
use support::Database;

const SKUS: [&str; 3] = ["A", "B", "C"];

#[derive(Debug, Clone)]
enum Step {
    Reserve { key: u8, lines: Vec<(usize, i64)>, hold: i64 },
    Happen { key: u8, event: Event },
    End { key: u8, event: Event },
    Adjust { sku: usize, delta: i64 },
    Sweep,
    Wait { time: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..6;
    let event = prop_oneof![Just(Event::Commit), Just(Event::Extend), Just(Event::Cancel)];
    let step = prop_oneof![
        4 => (key.clone(), prop::collection::vec((0_usize..3, 1_i64..6), 1..4), 1_i64..50)
            .prop_map(|(key, lines, hold)| Step::Reserve { key, lines, hold }),
        4 => (key.clone(), event).prop_map(|(key, event)| Step::Happen { key, event }),
        2 => (key, prop_oneof![Just(Event::Release), Just(Event::Cancel)])
            .prop_map(|(key, event)| Step::End { key, event }),
        2 => (0_usize..3, -8_i64..8).prop_map(|(sku, delta)| Step::Adjust { sku, delta }),
        1 => Just(Step::Sweep),
        2 => (0_i64..30).prop_map(|time| Step::Wait { time }),
    ];
    prop::collection::vec(step, 1..40)
}

/// Runs one step as a transaction of its own, as the service does.
async fn take(db: &Db, step: &Step, now: i64) -> sqlx::Result<()> {
    if matches!(step, Step::Sweep) {
        return shop_inventory::sweep(db, now).await.map(drop);
    }
    let mut tx = db.begin_write().await?;
    match step {
        Step::Reserve { key, lines, hold } => {
            let lines: Vec<_> = lines
                .iter()
                .map(|(sku, quantity)| Line { sku: SKUS[*sku].to_owned(), quantity: *quantity })
                .collect();
            let lines = shop_inventory::domain::sum_lines(&lines).unwrap();
            let reserved = store::reserve(&mut tx, &format!("k{key}"), &lines, now + hold, now).await?;
            if matches!(reserved, Reserved::Short(_)) {
                return tx.rollback().await;
            }
        }
        Step::Happen { key, event } => {
            store::apply(&mut tx, &format!("k{key}"), *event, now + 20, "test", now).await?;
        }
        Step::End { key, event } => {
            store::apply_or_bury(&mut tx, &format!("k{key}"), *event, "test", now).await?.ok();
        }
        Step::Adjust { sku, delta } if *delta != 0 => {
            let movement = Movement {
                id: service_kit::clock::new_id(),
                sku: SKUS[*sku].to_owned(),
                delta: *delta,
                reason: "counted".to_owned(),
                actor: "test".to_owned(),
                reference: None,
                created_at: now,
            };
            if store::adjust(&mut tx, &movement).await?.is_err() {
                return tx.rollback().await;
            }
        }
        Step::Adjust { .. } | Step::Wait { .. } | Step::Sweep => {}
    }
    tx.commit().await
}

/// What the rows say must be what the ledger and the reservations say.
async fn check_books(db: &Db) {
    let mut conn = db.pool().acquire().await.unwrap();
    let mut held: BTreeMap<String, i64> = BTreeMap::new();
    let mut sold: BTreeMap<String, i64> = BTreeMap::new();
    for reservation in store::with_status(&mut conn, None, "", 1000).await.unwrap() {
        for line in &reservation.lines {
            match reservation.status {
                Status::Held => *held.entry(line.sku.clone()).or_default() += line.quantity,
                Status::Committed => *sold.entry(line.sku.clone()).or_default() += line.quantity,
                Status::Released | Status::Expired | Status::Returned => {}
            }
        }
    }
    let page = store::MovementPage { limit: 10_000, ..Default::default() };
    let movements = store::movements(&mut conn, &page).await.unwrap();
    for stock in store::all_stock(&mut conn, "", 100).await.unwrap() {
        let of_sku = || movements.iter().filter(|movement| movement.sku == stock.sku);
        assert_eq!(
            of_sku().map(|movement| movement.delta).sum::<i64>(),
            stock.on_hand,
            "ledger of {}",
            stock.sku
        );
        assert_eq!(held.get(&stock.sku).copied().unwrap_or(0), stock.reserved, "held of {}", stock.sku);
        let gone: i64 = of_sku().filter(|m| m.reference.is_some()).map(|movement| -movement.delta).sum();
        assert_eq!(sold.get(&stock.sku).copied().unwrap_or(0), gone, "sold of {}", stock.sku);
        assert!((0..=stock.on_hand).contains(&stock.reserved));
    }
}

#[test]
fn any_operations_in_any_order_keep_the_books() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let database = Database::sqlite();
            let db = database.open().await;
            let first: Vec<_> =
                SKUS.iter().map(|sku| Line { sku: (*sku).to_owned(), quantity: 10 }).collect();
            let mut tx = db.begin_write().await.unwrap();
            store::seed(&mut tx, &first, 0).await.unwrap();
            tx.commit().await.unwrap();
            let mut now = 1;
            for step in &steps {
                if let Step::Wait { time } = step {
                    now += time;
                }
                take(&db, step, now).await.unwrap();
            }
            check_books(&db).await;
            // Once everything has lapsed and was swept, nothing is bound any more.
            shop_inventory::sweep(&db, now + 1_000_000).await.unwrap();
            check_books(&db).await;
            let mut conn = db.pool().acquire().await.unwrap();
            let stock = store::all_stock(&mut conn, "", 100).await.unwrap();
            assert!(stock.iter().all(|stock| stock.reserved == 0));
            drop(conn);
            db.close().await;
        });
        Ok(())
    });
    result.unwrap();
}
