//! The books of the services that [`crate::world`] plays, and how operations change them: like the real ones, in small.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use crate::world::Trouble;

/// A payment intent.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Its state.
    pub status: &'static str,
    /// The order's id.
    pub reference: String,
    /// What was asked for.
    pub amount: i64,
    /// What was taken.
    pub captured: i64,
    /// What was given back.
    pub refunded: i64,
    method: String,
    /// How often a bank was asked.
    pub bank_asked: usize,
}

/// A reservation.
#[derive(Debug, Clone)]
pub struct Reservation {
    /// `held`, `committed`, `released` or `returned`.
    pub status: &'static str,
    lines: Vec<(String, i64)>,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// Price by SKU.
    pub prices: BTreeMap<String, i64>,
    /// Units in the house by SKU.
    pub on_hand: BTreeMap<String, i64>,
    /// By the order's id.
    pub reservations: BTreeMap<String, Reservation>,
    /// By their id.
    pub intents: BTreeMap<String, Intent>,
    /// Ids of delivered events and their bodies, repeats included.
    pub events: Vec<(String, Value)>,
    /// Operations as they arrived.
    pub arrived: Vec<String>,
    /// Answers by Idempotency-Key.
    pub answers: HashMap<String, (u16, Value)>,
    /// What is to go wrong.
    pub troubles: Vec<Trouble>,
    /// Operations that came without an Idempotency-Key.
    pub keyless: HashSet<String>,
}

impl Books {
    /// Carries out an operation and gives its answer.
    pub fn act(&mut self, operation: &str, id: &str, query: &str, body: &Value) -> (u16, Value) {
        match operation {
            "products" => self.products(query),
            "reserve" => self.reserve(body),
            "commit" | "release" => self.move_units(operation, id),
            "create" => self.create(body),
            "event" => {
                self.events.push((body["id"].as_str().unwrap().to_owned(), body.clone()));
                (202, json!({}))
            }
            payment => self.move_money(payment, id, body),
        }
    }

    fn products(&self, query: &str) -> (u16, Value) {
        let items: Vec<Value> = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("sku="))
            .filter_map(|sku| self.prices.get_key_value(sku))
            .map(|(sku, price)| {
                json!({"id": sku, "sku": sku, "slug": sku.to_lowercase(), "name": format!("Thing {sku}"),
                       "image": format!("/images/{sku}.svg"), "price": eur(*price), "status": "active"})
            })
            .collect();
        (200, json!({"items": items}))
    }

    fn held(&self, sku: &str) -> i64 {
        let held = self.reservations.values().filter(|reservation| reservation.status == "held");
        held.flat_map(|reservation| &reservation.lines).filter(|(held, _)| held == sku).map(|(_, n)| n).sum()
    }

    fn reserve(&mut self, body: &Value) -> (u16, Value) {
        let key = body["key"].as_str().unwrap().to_owned();
        if let Some(known) = self.reservations.get(&key) {
            return match known.status {
                "held" | "committed" => (200, json!({"key": key, "status": known.status})),
                _ => problem(409, "reservation_released", json!({})),
            };
        }
        let lines: Vec<(String, i64)> = body["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_i64().unwrap()))
            .collect();
        let shortages: Vec<Value> = lines
            .iter()
            .filter(|(sku, wanted)| self.on_hand[sku] - self.held(sku) < *wanted)
            .map(|(sku, wanted)| {
                json!({"sku": sku, "wanted": wanted, "available": self.on_hand[sku] - self.held(sku)})
            })
            .collect();
        if !shortages.is_empty() {
            return problem(409, "insufficient_stock", json!({"shortages": shortages}));
        }
        self.reservations.insert(key.clone(), Reservation { status: "held", lines });
        (201, json!({"key": key, "status": "held"}))
    }

    fn move_units(&mut self, operation: &str, key: &str) -> (u16, Value) {
        let gone = Reservation { status: "released", lines: Vec::new() };
        if !self.reservations.contains_key(key) && operation == "release" {
            self.reservations.insert(key.to_owned(), gone);
        }
        let Some(reservation) = self.reservations.get_mut(key) else {
            return problem(404, "not_found", json!({}));
        };
        let (next, sign) = match (operation, reservation.status) {
            ("commit", "held") => ("committed", -1),
            ("release", "committed") => ("returned", 1),
            ("release", "held") => ("released", 0),
            ("commit", now @ "committed") | ("release", now @ ("returned" | "released")) => (now, 0),
            (_, state) => return problem(409, "state_conflict", json!({"state": state})),
        };
        reservation.status = next;
        for (sku, quantity) in reservation.lines.clone() {
            *self.on_hand.get_mut(&sku).unwrap() += sign * quantity;
        }
        (200, json!({"key": key, "status": next}))
    }

    fn create(&mut self, body: &Value) -> (u16, Value) {
        let id = format!("pi_{}", self.intents.len() + 1);
        let intent = Intent {
            status: "requires_payment_method",
            reference: body["reference"].as_str().unwrap().to_owned(),
            amount: body["amount"]["amount"].as_i64().unwrap(),
            captured: 0,
            refunded: 0,
            method: String::new(),
            bank_asked: 0,
        };
        let shown = intent.show(&id);
        self.intents.insert(id, intent);
        (201, shown)
    }

    fn move_money(&mut self, operation: &str, id: &str, body: &Value) -> (u16, Value) {
        let Some(intent) = self.intents.get_mut(id) else { return problem(404, "not_found", json!({})) };
        let declined = |code: &str| problem(402, "payment_declined", json!({"decline_code": code}));
        match (operation, intent.status) {
            ("confirm", "requires_payment_method") => {
                intent.bank_asked += 1;
                intent.method = body["payment_method"].as_str().unwrap().to_owned();
                if intent.method == "pm_card_declined" {
                    return declined("generic_decline");
                }
                intent.status = "requires_capture";
            }
            ("capture", "requires_capture") if intent.method == "pm_card_capture_fails" => {
                return declined("capture_failed");
            }
            ("capture", "requires_capture") => {
                intent.status = "succeeded";
                intent.captured = intent.amount;
            }
            ("reverse", "succeeded") => intent.refunded = intent.captured,
            ("reverse", _) => intent.status = "canceled",
            (_, state) => return problem(409, "state_conflict", json!({"state": state})),
        }
        (200, intent.show(id))
    }
}

impl Intent {
    fn show(&self, id: &str) -> Value {
        json!({"id": id, "status": self.status, "reference": self.reference, "amount": eur(self.amount),
               "captured": eur(self.captured), "refunded": eur(self.refunded)})
    }
}

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

fn problem(status: u16, code: &str, members: Value) -> (u16, Value) {
    let mut body = json!({"status": status, "code": code, "detail": "No."});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    (status, body)
}
