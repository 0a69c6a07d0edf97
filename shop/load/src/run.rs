//! Many customers at once, and what they met.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::client::{ClientError, Shop};
use crate::customer::{Customer, Ending, Wish, browse, customer_buys};
use crate::latency::{Summary, Times};

/// Payment methods and how many in a hundred purchases use each.
pub const PAYMENT_MIX: [(&str, u32); 7] = [
    ("pm_card_visa", 78),
    ("pm_card_declined", 8),
    ("pm_card_insufficient_funds", 3),
    ("pm_card_expired", 2),
    ("pm_card_slow", 2),
    ("pm_card_capture_fails", 3),
    ("pm_card_lost_reply", 4),
];
/// How many different unexpected answers a report keeps.
const KEPT_FAULTS: usize = 50;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many customers shop at the same time.
    pub customers: usize,
    /// Stop after this time, if given.
    pub duration: Option<Duration>,
    /// Stop after this many purchases, if given.
    pub purchases: Option<u64>,
    /// The same seed makes the same wishes.
    pub seed: u64,
}

/// What the customers met.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Report {
    /// Endings of purchases and how many had each: `confirmed`, `unavailable`, `unknown`, or a refusal as `402 payment_declined`.
    pub endings: BTreeMap<String, u64>,
    /// Answers that the contract does not know, or none where one was needed; at most 50 different ones.
    pub unexpected: BTreeMap<String, u64>,
    /// Times by kind of step.
    pub latency: BTreeMap<&'static str, Summary>,
    /// How long it all took, in seconds.
    pub seconds: f64,
    /// The ids of confirmed orders.
    #[serde(skip)]
    pub confirmed_orders: Vec<String>,
}

impl Report {
    /// The number of purchases with that ending.
    #[must_use]
    pub fn count(&self, ending: &str) -> u64 {
        self.endings.get(ending).copied().unwrap_or(0)
    }
}

/// One customer's notes.
#[derive(Default)]
struct Notes {
    endings: BTreeMap<String, u64>,
    unexpected: BTreeMap<String, u64>,
    times: BTreeMap<&'static str, Times>,
    confirmed: Vec<String>,
}

impl Notes {
    fn time(&mut self, step: &'static str, began: Instant) {
        self.times.entry(step).or_default().add(began.elapsed());
    }

    fn fault(&mut self, fault: &ClientError) {
        let text = fault.to_string();
        if self.unexpected.len() < KEPT_FAULTS || self.unexpected.contains_key(&text) {
            *self.unexpected.entry(text).or_default() += 1;
        }
    }

    fn ending(&mut self, ending: Ending) {
        let name = match ending {
            Ending::Confirmed { order_id } => {
                self.confirmed.push(order_id);
                "confirmed".to_owned()
            }
            Ending::Refused { status, code } => format!("{status} {code}"),
            Ending::Unavailable => "unavailable".to_owned(),
            Ending::Unknown { .. } => "unknown".to_owned(),
        };
        *self.endings.entry(name).or_default() += 1;
    }
}

/// When to stop.
struct Until {
    at: Option<Instant>,
    left: Option<AtomicU64>,
}

impl Until {
    /// Takes one purchase, if there is one left to make.
    fn take(&self) -> bool {
        if self.at.is_some_and(|at| Instant::now() >= at) {
            return false;
        }
        self.left.as_ref().is_none_or(|left| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
        })
    }
}

/// Lets customers buy until the time or the purchases are used up. Without either limit it makes one purchase a customer.
///
/// # Errors
/// The shop has no products to sell or cannot be asked for them.
pub async fn run(shop: &Shop, options: &Options) -> Result<Report, ClientError> {
    let products = Arc::new(browse(shop, "a").await?);
    let began = Instant::now();
    let purchases = match (options.duration, options.purchases) {
        (None, None) => u64::try_from(options.customers).ok(),
        (_, purchases) => purchases,
    };
    let until = Arc::new(Until {
        at: options.duration.map(|duration| began + duration),
        left: purchases.map(AtomicU64::new),
    });
    let mut customers = tokio::task::JoinSet::new();
    for number in 0..options.customers as u64 {
        let (shop, products, until) = (shop.clone(), Arc::clone(&products), Arc::clone(&until));
        let rng = fastrand::Rng::with_seed(options.seed.wrapping_mul(1_000_003).wrapping_add(number));
        customers.spawn(async move { shopping(&shop, &products, &until, rng).await });
    }
    let mut report = Report::default();
    let mut times: BTreeMap<&'static str, Times> = BTreeMap::new();
    while let Some(joined) = customers.join_next().await {
        match joined {
            Ok(notes) => gather(&mut report, &mut times, notes),
            Err(fault) => *report.unexpected.entry(format!("a customer ended: {fault}")).or_default() += 1,
        }
    }
    report.latency = times.iter().map(|(step, times)| (*step, times.summary())).collect();
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn gather(report: &mut Report, times: &mut BTreeMap<&'static str, Times>, notes: Notes) {
    for (ending, count) in notes.endings {
        *report.endings.entry(ending).or_default() += count;
    }
    for (fault, count) in notes.unexpected {
        *report.unexpected.entry(fault).or_default() += count;
    }
    for (step, more) in notes.times {
        times.entry(step).or_default().join(&more);
    }
    report.confirmed_orders.extend(notes.confirmed);
}

/// One customer's day.
async fn shopping(shop: &Shop, products: &[Value], until: &Until, mut rng: fastrand::Rng) -> Notes {
    let mut notes = Notes::default();
    let began = Instant::now();
    let mut customer = match Customer::register(shop, "Load Customer").await {
        Ok(customer) => customer,
        Err(fault) => {
            notes.fault(&fault);
            return notes;
        }
    };
    notes.time("register and sign in", began);
    while until.take() {
        let began = Instant::now();
        match browse(shop, if rng.bool() { "steel" } else { "a" }).await {
            Ok(_) => notes.time("browse", began),
            Err(fault) => notes.fault(&fault),
        }
        let wish = wish(products, &mut rng);
        let began = Instant::now();
        match customer_buys(shop, &mut customer, &wish).await {
            Ok(purchase) => {
                notes.times.entry("checkout").or_default().add(purchase.checkout_time);
                let whole = began.elapsed();
                let cart = whole.saturating_sub(purchase.checkout_time);
                notes.times.entry("fill cart").or_default().add(cart);
                notes.ending(purchase.ending);
            }
            Err(fault) => notes.fault(&fault),
        }
    }
    notes
}

/// One to three products, one to three of each, and a way to pay.
fn wish(products: &[Value], rng: &mut fastrand::Rng) -> Wish {
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..rng.usize(1..=3) {
        if let Some(sku) = rng.choice(products).and_then(|product| product["sku"].as_str()) {
            lines.insert(sku.to_owned(), rng.u32(1..=3));
        }
    }
    Wish { lines: lines.into_iter().collect(), payment_method: pay(rng.u32(0..100)).to_owned() }
}

/// The payment method for a number from 0 to 99.
fn pay(mut number: u32) -> &'static str {
    for (method, share) in PAYMENT_MIX {
        if number < share {
            return method;
        }
        number -= share;
    }
    PAYMENT_MIX[0].0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_a_hundred() {
        assert_eq!(PAYMENT_MIX.iter().map(|(_, share)| share).sum::<u32>(), 100);
        assert_eq!(
            (pay(0), pay(77), pay(78), pay(99)),
            ("pm_card_visa", "pm_card_visa", "pm_card_declined", "pm_card_lost_reply")
        );
    }

    #[test]
    fn the_same_seed_makes_the_same_wishes() {
        let products: Vec<Value> = (0..9).map(|n| serde_json::json!({"sku": format!("S{n}")})).collect();
        let wishes = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            (0..20)
                .map(|_| wish(&products, &mut rng))
                .map(|w| (w.lines, w.payment_method))
                .collect::<Vec<_>>()
        };
        assert_eq!(wishes(7), wishes(7));
        assert_ne!(wishes(7), wishes(8));
        assert!(wishes(7).iter().all(|(lines, _)| (1..=3).contains(&lines.len())));
    }

    #[test]
    fn purchases_are_taken_until_none_is_left() {
        let until = Until { at: None, left: Some(AtomicU64::new(2)) };
        assert_eq!([until.take(), until.take(), until.take()], [true, true, false]);
        assert!(!Until { at: Some(Instant::now()), left: None }.take());
    }
}
