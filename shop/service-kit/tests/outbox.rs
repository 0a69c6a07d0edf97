//! The outbox: at least once, across failures, replicas and dead processes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Database, MIGRATIONS, databases, eventually};
use serde_json::json;
use service_kit::db::Db;
use service_kit::outbox::{self, Event, Message, Outbox, Policy};
use tokio_util::sync::CancellationToken;

fn quick() -> Policy {
    Policy {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        ..Policy::default()
    }
}

async fn open(database: &Database) -> Db {
    let migrations = [MIGRATIONS, &[outbox::MIGRATION]].concat();
    Db::open(&database.url, &migrations).await.unwrap()
}

async fn enqueue(db: &Db, outbox: &Outbox, destination: &str) -> String {
    let mut tx = db.begin_write().await.unwrap();
    let id =
        outbox.enqueue(&mut tx, destination, "order.confirmed", &json!({ "order_id": "o1" })).await.unwrap();
    tx.commit().await.unwrap();
    outbox.wake();
    id
}

#[tokio::test]
async fn what_is_rolled_back_is_never_sent_and_the_rest_is_sent_once_it_can_be() {
    for database in databases().await {
        let db = open(&database).await;
        let outbox = Outbox::new(db.clone(), quick());
        let mut tx = db.begin_write().await.unwrap();
        outbox.enqueue(&mut tx, "down", "order.confirmed", &json!({})).await.unwrap();
        drop(tx);
        let (bad, good) = (enqueue(&db, &outbox, "down").await, enqueue(&db, &outbox, "up").await);
        let seen = Arc::new(Mutex::new(Vec::<Message>::new()));
        let (stop, record) = (CancellationToken::new(), Arc::clone(&seen));
        let running = tokio::spawn(outbox.clone().run(stop.clone(), move |message: Message| {
            let fails = message.destination == "down" && message.attempt < 4;
            record.lock().unwrap().push(message);
            async move { if fails { Err("refused".to_owned()) } else { Ok(()) } }
        }));
        eventually(async || (outbox.backlog().await.unwrap() == (0, 0)).then_some(())).await;
        stop.cancel();
        running.await.unwrap();
        let seen = seen.lock().unwrap();
        let attempts = |id: &str| seen.iter().filter(|m| m.id == id).map(|m| m.attempt).collect::<Vec<_>>();
        assert_eq!((attempts(&bad), attempts(&good)), (vec![1, 2, 3, 4], vec![1]));
        let payloads: Vec<_> = seen.iter().filter(|m| m.id == bad).map(|m| &m.payload).collect();
        assert!(payloads.windows(2).all(|pair| pair[0] == pair[1]), "every attempt sends the same bytes");
        let event: Event<serde_json::Value> = serde_json::from_str(payloads[0]).unwrap();
        assert_eq!(
            (event.id, event.kind.as_str(), event.data),
            (bad, "order.confirmed", json!({ "order_id": "o1" }))
        );
    }
}

#[tokio::test]
async fn two_replicas_share_the_work_and_a_hanging_destination_holds_up_nobody() {
    for database in databases().await {
        let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let db = open(&database).await;
        let first = Outbox::new(db.clone(), quick());
        let mut ids = Vec::new();
        for n in 0..30 {
            ids.push(enqueue(&db, &first, if n < 10 { "hangs" } else { "up" }).await);
        }
        let second = Outbox::new(open(&database).await, quick());
        for outbox in [first, second] {
            let record = Arc::clone(&seen);
            tokio::spawn(outbox.run(stop.clone(), move |message: Message| {
                let record = Arc::clone(&record);
                async move {
                    if message.destination == "hangs" {
                        std::future::pending::<()>().await;
                    }
                    record.lock().unwrap().push(message.id);
                    Ok(())
                }
            }));
        }
        eventually(async || (seen.lock().unwrap().len() == 20).then_some(())).await;
        stop.cancel();
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, ids[10..], "each exactly once while nothing fails");
    }
}

#[tokio::test]
async fn a_message_that_is_too_old_is_given_up() {
    let database = Database::sqlite();
    let db = open(&database).await;
    let outbox = Outbox::new(db.clone(), Policy { give_up_after: Duration::from_millis(1), ..quick() });
    enqueue(&db, &outbox, "down").await;
    let stop = CancellationToken::new();
    tokio::spawn(outbox.clone().run(stop.clone(), |_| async { Err("refused".to_owned()) }));
    eventually(async || (outbox.backlog().await.unwrap() == (0, 1)).then_some(())).await;
    stop.cancel();
}
