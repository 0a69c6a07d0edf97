//! What an engine does besides going through steps, on every store.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use saga::definition::read_all;
use saga::engine::{Begin, BeginError, Engine, Options};
use saga::record::{Event, Outcome, Reason};
use saga::store::{Filter, Signal, Status, Store};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::stores::Place;
use crate::world::{Effect, Fault, World, contracts};

const LONG: Duration = Duration::from_secs(60);

const DEFINITIONS: [&str; 5] = [
    "
saga: plain
defaults: { timeout: 5s, retry: { max: 1, backoff: 5ms..10ms }, undo_retry: { backoff: 5ms..10ms, alert_after: 0s } }
steps:
  - { id: a, do: world.do_a, keep: { id: $body.id }, undo: world.undo_a, undo_with: { path: { key: $a.key } } }
  - { id: b, do: world.do_b, undo: world.undo_b, undo_with: { path: { key: $b.key } } }
output: { a: $a.id, who: $input.who }
",
    "
saga: paid
steps:
  - { id: a, do: world.do_a, undo: world.undo_a, undo_with: { path: { key: $a.key } } }
  - { id: money, wait: { event: payment.settled, timeout: 1h }, keep: { amount: $body.amount } }
output: $money.amount
",
    "
saga: slow
deadline: 300ms
steps:
  - { id: a, do: world.do_a, undo: world.undo_a, undo_with: { path: { key: $a.key } } }
  - { id: pause, wait: 1h }
",
    "
saga: forward
defaults: { retry: { backoff: 5ms..10ms }, undo_retry: { backoff: 5ms..10ms } }
steps:
  - { id: a, do: world.do_a, pivot: true }
  - { id: b, do: world.do_b }
",
    "
saga: parent
defaults: { retry: { max: 1, backoff: 5ms..10ms }, undo_retry: { backoff: 5ms..10ms } }
steps:
  - { id: child, start: plain, with: { input: { who: $input.who } }, keep: { a: $body.a } }
  - { id: c, do: world.do_c, undo: world.undo_c, undo_with: { path: { key: $c.key } } }
output: $child.a
",
];

struct Test {
    world: World,
    engine: Engine,
    store: Arc<dyn Store>,
    _callees: watch::Sender<Arc<saga::engine::Callees>>,
}

async fn start(place: &Place) -> Test {
    let world = World::start().await;
    over(place, world).await
}

/// An engine for a world that was there before.
async fn over(place: &Place, world: World) -> Test {
    let plans =
        read_all(&DEFINITIONS, &contracts(&["a", "b", "c"])).into_iter().map(Result::unwrap).collect();
    let callees = watch::Sender::new(Arc::new([("world".to_owned(), world.address)].into()));
    let options = Options {
        patience: Duration::from_millis(50),
        poll: Duration::from_millis(10),
        ..Options::new(callees.subscribe())
    };
    let store = place.open().await;
    let engine = Engine::start(store.clone(), plans, options).await.unwrap();
    Test { world, engine, store, _callees: callees }
}

impl Test {
    async fn begin(&self, saga: &str, key: &str) -> String {
        let begin = Begin {
            saga: saga.to_owned(),
            key: key.to_owned(),
            input: json!({ "who": "Ada" }),
            ..Begin::default()
        };
        self.engine.begin(begin).await.unwrap().0
    }

    async fn end(&self, id: &str) -> Outcome {
        let stored = self.engine.wait(id, LONG).await.unwrap().unwrap();
        let last = stored.journal.last().map(|r| r.event.clone());
        let Some(Event::Ended { outcome }) = last else { panic!("{:?} {:?}", stored.status, stored.journal) };
        outcome
    }

    async fn until(&self, id: &str, what: impl Fn(&saga::store::Stored) -> bool) {
        for _ in 0..6_000 {
            if what(&self.engine.find(id).await.unwrap().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.engine.find(id).await.unwrap());
    }
}

#[tokio::test]
async fn a_key_starts_one_saga() {
    for place in Place::all().await {
        let test = start(&place).await;
        let begun = futures_util::future::join_all((0..20).map(|_| test.begin("plain", "k"))).await;
        assert!(begun.iter().all(|id| *id == begun[0]));
        let output = json!({ "a": format!("of-{}.a", begun[0]), "who": "Ada" });
        assert_eq!(test.end(&begun[0]).await, Outcome::Done { output });
        assert_eq!(test.world.calls(), ["do a", "do b"]);
        let other =
            Begin { saga: "plain".to_owned(), key: "k".to_owned(), input: json!(1), ..Begin::default() };
        assert!(matches!(test.engine.begin(other).await, Err(BeginError::KeyReused)));
        let other = Begin { saga: "nothing".to_owned(), ..Begin::default() };
        assert!(matches!(test.engine.begin(other).await, Err(BeginError::Unknown(_))));
    }
}

#[tokio::test]
async fn an_event_wakes_a_saga_that_was_put_down() {
    for place in Place::all().await {
        let test = start(&place).await;
        let id = test.begin("paid", "k").await;
        test.until(&id, |s| {
            s.journal.iter().any(|r| matches!(&r.event, Event::Started { step } if step == "money"))
        })
        .await;
        while test.engine.active() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let event = Signal::Event { name: "payment.settled".to_owned(), body: json!({ "amount": 7 }) };
        assert!(test.engine.signal(&id, event.clone()).await.unwrap());
        assert_eq!(test.end(&id).await, Outcome::Done { output: json!(7) });
        assert!(!test.engine.signal(&id, event).await.unwrap(), "it is over");
    }
}

#[tokio::test]
async fn the_deadline_undoes_and_so_does_a_cancel() {
    for place in Place::all().await {
        let test = start(&place).await;
        let (slow, paid) = (test.begin("slow", "k").await, test.begin("paid", "k").await);
        assert!(test.engine.signal(&paid, Signal::Undo).await.unwrap());
        assert_eq!(test.end(&slow).await, Outcome::Undone { reason: Reason::Deadline });
        assert_eq!(test.end(&paid).await, Outcome::Undone { reason: Reason::Cancelled });
        test.world.audit();
        assert_ne!(test.world.effects(&slow).get("a"), Some(&Effect::Applied));
    }
}

#[tokio::test]
async fn a_saga_that_is_done_can_be_undone_unless_it_has_passed_its_pivot() {
    for place in Place::all().await {
        let test = start(&place).await;
        let id = test.begin("plain", "k").await;
        assert!(matches!(test.end(&id).await, Outcome::Done { .. }));
        assert!(test.engine.signal(&id, Signal::Undo).await.unwrap());
        test.until(&id, |s| s.status == Status::Undone && s.ended_at.is_some()).await;
        assert_eq!(test.world.calls(), ["do a", "do b", "undo b", "undo a"]);
        assert!(!test.engine.signal(&id, Signal::Undo).await.unwrap(), "it is undone");
        let id = test.begin("forward", "k").await;
        test.end(&id).await;
        test.engine.signal(&id, Signal::Undo).await.unwrap();
        test.until(&id, |s| s.status == Status::Done && s.ended_at.is_some() && s.seen == 1).await;
    }
}

#[tokio::test]
async fn a_refusal_after_the_pivot_waits_for_a_retry() {
    for place in Place::all().await {
        let test = start(&place).await;
        test.world.script("do b", Fault::Repeat, 3);
        let id = test.begin("forward", "k").await;
        assert!(matches!(test.end(&id).await, Outcome::Done { .. }));
        assert_eq!(test.world.calls_of("do b"), 4);

        test.world.refuse_once("do b");
        let id = test.begin("forward", "l").await;
        test.until(&id, |s| s.status == Status::Stuck).await;
        let stuck = Filter { status: vec![Status::Stuck], limit: 10, ..Filter::default() };
        assert_eq!(test.engine.list(stuck).await.unwrap().len(), 1);
        assert!(test.engine.signal(&id, Signal::Retry).await.unwrap());
        assert!(matches!(test.end(&id).await, Outcome::Done { .. }));
    }
}

#[tokio::test]
async fn an_undo_that_does_not_work_raises_an_alert_and_goes_on() {
    for place in Place::all().await {
        let test = start(&place).await;
        test.world.script("do b", Fault::Refusal, 1);
        test.world.script("undo a", Fault::Refusal, 5);
        let id = test.begin("plain", "k").await;
        let Outcome::Undone { reason: Reason::Refused { step, status, body } } = test.end(&id).await else {
            panic!()
        };
        assert_eq!((step.as_str(), status, body), ("b", Some(422), json!({ "code": "refused" })));
        let stored = test.engine.find(&id).await.unwrap().unwrap();
        assert!(stored.journal.iter().any(|r| matches!(&r.event, Event::Alert { step, .. } if step == "a")));
        assert_eq!(test.world.calls_of("undo a"), 6);
        test.world.audit();
    }
}

#[tokio::test]
async fn a_saga_can_be_a_step_of_another_and_is_undone_with_it() {
    for place in Place::all().await {
        let test = start(&place).await;
        let id = test.begin("parent", "k").await;
        let Outcome::Done { output } = test.end(&id).await else { panic!() };
        assert!(output.as_str().unwrap().starts_with("of-"), "{output}");
        test.world.script("do c", Fault::Refusal, 1);
        let id = test.begin("parent", "l").await;
        assert!(matches!(test.end(&id).await, Outcome::Undone { .. }));
        assert_eq!(
            test.world.calls(),
            ["do a", "do b", "do c", "do a", "do b", "do c", "undo c", "undo b", "undo a"]
        );
        test.world.script("do b", Fault::Refusal, 1);
        let id = test.begin("parent", "m").await;
        let Outcome::Undone { reason: Reason::Refused { step, .. } } = test.end(&id).await else { panic!() };
        assert_eq!(step, "child");
        test.world.audit();
    }
}

#[tokio::test]
async fn what_runs_goes_on_with_the_definition_that_it_began_with() {
    for place in Place::all().await {
        let test = start(&place).await;
        let id = test.begin("paid", "k").await;
        let other = "saga: paid\nversion: 2\nsteps: [{ id: b, do: world.do_b, undo: none }]";
        let other = saga::definition::read(other, &contracts(&["b"])).unwrap();
        test.engine.define(vec![other.clone()]).await.unwrap();
        assert_eq!(test.engine.plans_in_use().await.unwrap().len(), 1);
        test.engine.stop(LONG).await.unwrap();
        // Another engine, which never knew the old definition.
        let callees = watch::Sender::new(Arc::new([("world".to_owned(), test.world.address)].into()));
        let engine =
            Engine::start(place.open().await, vec![other], Options::new(callees.subscribe())).await.unwrap();
        let event = Signal::Event { name: "payment.settled".to_owned(), body: json!({ "amount": 8 }) };
        assert!(engine.signal(&id, event).await.unwrap());
        let stored = engine.wait(&id, LONG).await.unwrap().unwrap();
        assert_eq!(stored.status, Status::Done);
        assert_eq!(test.world.calls(), ["do a"]);
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_removed() {
    for place in Place::all().await {
        let test = start(&place).await;
        let (old, open) = (test.begin("plain", "k").await, test.begin("paid", "k").await);
        test.end(&old).await;
        let soon = u64::try_from(millis_now() + 3_600_000).unwrap();
        assert_eq!(test.store.prune(0, 10).await.unwrap(), 0);
        assert_eq!(test.store.prune(soon, 10).await.unwrap(), 1);
        assert!(test.engine.find(&old).await.unwrap().is_none());
        assert!(test.engine.find(&open).await.unwrap().is_some());
    }
}

fn millis_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (StatusCode, Value, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null), headers)
}

#[tokio::test]
async fn the_api_starts_shows_and_cancels() {
    let place = Place::sqlite();
    let test = start(&place).await;
    let api = saga::api::router(test.engine.clone());
    let key = ("idempotency-key", "one");
    let (status, body, headers) =
        ask(&api, "POST", "/plain", &[key, ("prefer", "wait=50")], json!({ "who": "Eve" })).await;
    assert_eq!(
        (status, &body["status"], &body["result"]["output"]["who"]),
        (StatusCode::OK, &json!("done"), &json!("Eve"))
    );
    let place = headers["location"].to_str().unwrap().to_owned();
    let (status, shown, _) = ask(&api, "GET", &place, &[], Value::Null).await;
    assert_eq!((status, shown["history"].as_array().unwrap().len()), (StatusCode::OK, 5));
    let (status, again, _) = ask(&api, "POST", "/plain", &[key], json!({ "who": "Eve" })).await;
    assert_eq!((status, &again["id"]), (StatusCode::ACCEPTED, &body["id"]));

    for (method, path, headers, expected, code) in [
        ("POST", "/plain", vec![], 400, "invalid_idempotency_key"),
        ("POST", "/plain", vec![key], 422, "idempotency_key_reused"),
        ("POST", "/nothing", vec![key], 404, "unknown_saga"),
        ("GET", "/plain/x", vec![], 404, "not_found"),
        ("POST", &format!("{place}/retry"), vec![], 409, "over"),
        ("GET", "/?status=lost", vec![], 400, "invalid_status"),
        ("POST", &format!("{place}/events/nobody"), vec![], 404, "unknown_event"),
    ] {
        let (status, problem, headers) = ask(&api, method, path, &headers, json!({})).await;
        assert_eq!((status.as_u16(), problem["code"].as_str().unwrap()), (expected, code), "{method} {path}");
        assert_eq!(headers["content-type"], "application/problem+json");
    }

    let (status, waiting, _) = ask(&api, "POST", "/paid", &[key, ("prefer", "wait=0")], Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let place = format!("/paid/{}", waiting["id"].as_str().unwrap());
    let (status, _, _) =
        ask(&api, "POST", &format!("{place}/events/payment.settled"), &[], json!({ "amount": 3 })).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(test.end(waiting["id"].as_str().unwrap()).await, Outcome::Done { output: json!(3) });
    let (_, list, _) = ask(&api, "GET", "/?saga=paid&status=done", &[], Value::Null).await;
    assert_eq!(list["sagas"].as_array().unwrap().len(), 1);

    let (_, forward, _) = ask(&api, "POST", "/forward", &[key, ("prefer", "wait=50")], Value::Null).await;
    let path = format!("/forward/{}/cancel", forward["id"].as_str().unwrap());
    let (status, problem, _) = ask(&api, "POST", &path, &[], Value::Null).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("past_pivot")));
}

#[tokio::test]
async fn a_second_engine_cannot_open_the_same_file() {
    let place = Place::sqlite();
    let test = start(&place).await;
    let path = std::path::PathBuf::from(place.url());
    let second =
        tokio::task::spawn_blocking(move || saga::store::sqlite::SqliteStore::open(&path)).await.unwrap();
    assert!(second.is_err());
    test.engine.stop(LONG).await.unwrap();
    let again = over(&place, test.world.clone()).await;
    let id = again.begin("plain", "k").await;
    assert!(matches!(again.end(&id).await, Outcome::Done { .. }));
}

#[tokio::test]
async fn a_service_that_is_overloaded_gets_fewer_calls_at_a_time_and_nothing_is_written_down_of_what_nobody_was_asked()
 {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    // As the data plane does in front of a service that takes eight at a time.
    const TAKES: usize = 8;
    let (inside, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let of_calls = (inside.clone(), refused.clone());
    let answer = move || {
        let (inside, refused) = of_calls.clone();
        async move {
            let full = inside.fetch_add(1, SeqCst) >= TAKES;
            if !full {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            inside.fetch_sub(1, SeqCst);
            if full {
                refused.fetch_add(1, SeqCst);
                let fields = [("x-isles-error", "overloaded"), ("retry-after", "1")];
                return (StatusCode::SERVICE_UNAVAILABLE, fields, "{}").into_response();
            }
            (StatusCode::OK, "{}").into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let plans: Vec<saga::plan::Plan> =
        read_all(&DEFINITIONS, &contracts(&["a", "b", "c"])).into_iter().map(Result::unwrap).collect();
    let callees = watch::Sender::new(Arc::new([("world".to_owned(), address)].into()));
    for place in Place::all().await {
        let store = place.open().await;
        let engine =
            Engine::start(store.clone(), plans.clone(), Options::new(callees.subscribe())).await.unwrap();
        let before = refused.load(SeqCst);
        let begins = (0..200).map(|key| {
            let begin = Begin { saga: "plain".to_owned(), key: format!("k{key}"), ..Begin::default() };
            let engine = engine.clone();
            async move { engine.begin(begin).await.unwrap().0 }
        });
        for id in futures_util::future::join_all(begins).await {
            let stored = engine.wait(&id, LONG).await.unwrap().unwrap();
            assert!(matches!(
                stored.journal.last().map(|r| &r.event),
                Some(Event::Ended { outcome: Outcome::Done { .. } })
            ));
            let failed = stored.journal.iter().filter(|r| matches!(r.event, Event::Failed { .. })).count();
            assert_eq!(failed, 0, "{:?}", stored.journal);
        }
        assert!(refused.load(SeqCst) > before, "it was crowded");
        engine.stop(Duration::from_secs(5)).await.unwrap();
    }
}
