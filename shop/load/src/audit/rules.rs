//! What must hold in the shop's books, as pure functions of them. Every rule has a stable code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::books::{Books, Order, Payment};

/// One thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The rule's stable code.
    pub rule: &'static str,
    /// The ids or SKUs that it is about.
    pub ids: Vec<String>,
    /// What was found, and what was expected.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.rule, self.ids.join(", "), self.found)
    }
}

fn violation(rule: &'static str, ids: &[&str], found: String) -> Violation {
    Violation { rule, ids: ids.iter().map(|id| (*id).to_owned()).collect(), found }
}

/// Checks every rule and gives what breaks one, sorted.
#[must_use]
pub fn check(books: &Books) -> Vec<Violation> {
    let mut found = Vec::new();
    found.extend(stock(books));
    found.extend(units_of_orders(books));
    found.extend(payments(books));
    found.extend(orders(books));
    found.extend(leftovers(books));
    found.sort();
    found
}

/// Ledger sum = on hand; 0 <= reserved <= on hand; sold <= what the house put in.
fn stock(books: &Books) -> Vec<Violation> {
    let mut ledger: BTreeMap<&str, i64> = BTreeMap::new();
    let mut put_in: BTreeMap<&str, i64> = BTreeMap::new();
    for movement in &books.movements {
        *ledger.entry(&movement.sku).or_default() += movement.delta;
        if !matches!(movement.reason.as_str(), "commit" | "return") {
            *put_in.entry(&movement.sku).or_default() += movement.delta;
        }
    }
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for line in books.orders.iter().filter(|order| order.is_sold()).flat_map(|order| &order.lines) {
        *sold.entry(&line.sku).or_default() += line.quantity;
    }
    let mut found = Vec::new();
    for stock in &books.stock {
        let (sku, on_hand, reserved) = (stock.sku.as_str(), stock.on_hand, stock.reserved);
        let sum = ledger.get(sku).copied().unwrap_or(0);
        if sum != on_hand {
            let text = format!("the ledger sums to {sum}, on hand is {on_hand}");
            found.push(violation("ledger_is_stock", &[sku], text));
        }
        if !(0..=on_hand).contains(&reserved) {
            let text = format!("reserved is {reserved} of {on_hand} on hand");
            found.push(violation("reserved_within_stock", &[sku], text));
        }
    }
    for (sku, quantity) in sold {
        let had = put_in.get(sku).copied().unwrap_or(0);
        if quantity > had {
            let text = format!("{quantity} sold, only {had} were ever there");
            found.push(violation("not_oversold", &[sku], text));
        }
    }
    found
}

/// A sold order took exactly its units out of the stock; any other finished order took none.
fn units_of_orders(books: &Books) -> Vec<Violation> {
    let mut taken: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for movement in &books.movements {
        if let ("commit" | "return", Some(key)) = (movement.reason.as_str(), &movement.reference) {
            *taken.entry((key, &movement.sku)).or_default() -= movement.delta;
        }
    }
    let mut due: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for order in &books.orders {
        for line in &order.lines {
            let quantity = if order.is_sold() { line.quantity } else { 0 };
            *due.entry((&order.id, &line.sku)).or_default() += quantity;
        }
    }
    let open = books.orders.iter().filter(|order| !order.is_finished());
    let unsettled: BTreeSet<&str> = open.map(|order| order.id.as_str()).collect();
    let mut keys: Vec<_> = taken.keys().chain(due.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|(order, _)| !unsettled.contains(*order))
        .filter_map(|key| {
            let (took, owed) = (taken.get(&key).copied().unwrap_or(0), due.get(&key).copied().unwrap_or(0));
            let text = format!("took {took} units out of the stock, should have taken {owed}");
            (took != owed).then(|| violation("units_match_order", &[key.0, key.1], text))
        })
        .collect()
}

/// A captured payment has one sold order or is refunded in full, and never more than it captured.
fn payments(books: &Books) -> Vec<Violation> {
    let orders: BTreeMap<&str, &Order> =
        books.orders.iter().map(|order| (order.id.as_str(), order)).collect();
    let mut found = Vec::new();
    for payment in &books.payments {
        let (captured, refunded) = (payment.captured.minor(), payment.refunded.minor());
        let ids = [payment.id.as_str(), payment.reference.as_str()];
        if captured > payment.amount.minor() || refunded > captured || refunded < 0 {
            let text = format!("{refunded} refunded of {captured} captured of {}", payment.amount.minor());
            found.push(violation("amounts_nest", &ids, text));
        }
        let order = orders.get(payment.reference.as_str());
        let sold = order.is_some_and(|order| order.is_sold());
        if captured > 0 && !sold && refunded != captured {
            let status = order.map_or("no such order", |order| order.status.as_str());
            let text = format!("captured {captured}, refunded {refunded}, but its order is: {status}");
            found.push(violation("captured_is_sold_or_refunded", &ids, text));
        }
        let is_open = matches!(payment.status.as_str(), "requires_capture" | "processing");
        if is_open && order.is_none_or(|order| order.is_finished()) {
            let status = order.map_or("no such order", |order| order.status.as_str());
            let text = format!("the authorization is still open, its order is: {status}");
            found.push(violation("no_authorization_outlives_order", &ids, text));
        }
    }
    found
}

/// A sold order has exactly one captured payment, of its total; an unsold one is finished; a cart has one order.
fn orders(books: &Books) -> Vec<Violation> {
    let mut paid: BTreeMap<&str, Vec<&Payment>> = BTreeMap::new();
    for payment in books.payments.iter().filter(|payment| payment.captured.minor() > 0) {
        paid.entry(&payment.reference).or_default().push(payment);
    }
    let mut by_cart: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found = Vec::new();
    for order in &books.orders {
        let id = order.id.as_str();
        let payments = paid.get(id).map_or(&[][..], Vec::as_slice);
        if order.is_sold() {
            let captured: Vec<i64> = payments.iter().map(|payment| payment.captured.minor()).collect();
            if captured != [order.total.minor()] {
                let text = format!("total {}, captured {captured:?}", order.total.minor());
                found.push(violation("sold_is_paid_once", &[id], text));
            }
        }
        if !order.is_finished() {
            let text = format!("it is {}, and work for it is not finished", order.status);
            found.push(violation("all_is_finished", &[id], text));
        }
        // A cancelled attempt gave its cart back before it was ever confirmed; all others hold it for good.
        if order.status != "cancelled" {
            by_cart.entry(&order.cart_id).or_default().push(id);
        }
    }
    for (cart, orders) in by_cart.into_iter().filter(|(_, orders)| orders.len() > 1) {
        let text = format!("{} orders came from cart {cart}", orders.len());
        found.push(violation("one_order_per_cart", &orders, text));
    }
    found
}

/// No reservation outlives its order.
fn leftovers(books: &Books) -> Vec<Violation> {
    let orders: BTreeMap<&str, &Order> =
        books.orders.iter().map(|order| (order.id.as_str(), order)).collect();
    books
        .held
        .iter()
        .filter(|reservation| reservation.status == "held")
        .filter_map(|reservation| {
            let order = orders.get(reservation.key.as_str());
            let status = order.map_or("no such order", |order| order.status.as_str());
            let over = order.is_none_or(|order| order.is_finished());
            let text = format!("units are still held, the order is: {status}");
            over.then(|| violation("no_reservation_outlives_order", &[&reservation.key], text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of<T: serde::de::DeserializeOwned>(entries: Value) -> Vec<T> {
        serde_json::from_value(entries).unwrap()
    }

    fn eur(amount: i64) -> Value {
        json!({"amount": amount, "currency": "EUR"})
    }

    /// Ten units came in; order o1 bought two for 500; o2 was declined; o3 was refunded.
    fn clean() -> Books {
        let lines = json!([{"sku": "A", "quantity": 2}]);
        let order = |id: &str, cart: &str, status: &str| json!({"id": id, "cart_id": cart, "status": status, "lines": lines, "total": eur(500), "settled": true});
        let payment = |id: &str, order: &str, status: &str, captured: i64, refunded: i64| {
            json!({"id": id, "reference": order, "status": status, "amount": eur(500), "captured": eur(captured),
                   "refunded": refunded})
        };
        Books {
            orders: of(json!([
                order("o1", "c1", "confirmed"),
                order("o2", "c2", "cancelled"),
                order("o3", "c2", "refunded")
            ])),
            payments: of(json!([
                payment("p1", "o1", "succeeded", 500, 0),
                payment("p2", "o2", "requires_payment_method", 0, 0),
                payment("p3", "o3", "succeeded", 500, 500),
            ])),
            stock: of(json!([{"sku": "A", "on_hand": 8, "reserved": 0}])),
            movements: of(json!([
                {"sku": "A", "delta": 10, "reason": "initial"},
                {"sku": "A", "delta": -2, "reason": "commit", "reference": "o1"},
                {"sku": "A", "delta": -2, "reason": "commit", "reference": "o3"},
                {"sku": "A", "delta": 2, "reason": "return", "reference": "o3"},
            ])),
            held: Vec::new(),
        }
    }

    /// Changes the clean books and gives the rules that are then broken.
    fn broken(change: impl FnOnce(&mut Books)) -> Vec<&'static str> {
        let mut books = clean();
        change(&mut books);
        check(&books).into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn clean_books_are_clean() {
        assert_eq!(check(&clean()), []);
    }

    #[test]
    fn stock_that_does_not_add_up() {
        assert_eq!(broken(|books| books.stock[0].on_hand = 9), ["ledger_is_stock"]);
        assert_eq!(broken(|books| books.stock[0].reserved = 9), ["reserved_within_stock"]);
        assert_eq!(broken(|books| books.stock[0].reserved = -1), ["reserved_within_stock"]);
        let oversold = broken(|books| {
            books.movements[0].delta = 1;
            books.stock[0].on_hand = -1;
        });
        assert_eq!(oversold, ["not_oversold", "reserved_within_stock"]);
    }

    #[test]
    fn units_that_an_order_took_or_left() {
        let never_returned = broken(|books| {
            books.movements.pop();
            books.stock[0].on_hand = 6;
        });
        assert_eq!(never_returned, ["units_match_order"]);
        let never_taken = broken(|books| {
            books.movements.remove(1);
            books.stock[0].on_hand = 10;
        });
        assert_eq!(never_taken, ["units_match_order"]);
        let of_nobody = broken(|books| books.movements[3].reference = Some("o9".into()));
        assert_eq!(of_nobody, ["units_match_order", "units_match_order"]);
    }

    #[test]
    fn money_that_does_not_add_up() {
        let lost = broken(|books| books.payments[2].refunded = super::super::books::Money::Minor(400));
        assert_eq!(lost, ["captured_is_sold_or_refunded"]);
        let unpaid = broken(|books| drop(books.payments.remove(0)));
        assert_eq!(unpaid, ["sold_is_paid_once"]);
        let twice = broken(|books| {
            let mut second = books.payments[0].clone();
            second.id = "p9".into();
            books.payments.push(second);
        });
        assert_eq!(twice, ["sold_is_paid_once"]);
        let of_nobody = broken(|books| books.payments[0].reference = "o9".into());
        assert_eq!(of_nobody, ["captured_is_sold_or_refunded", "sold_is_paid_once"]);
        let too_much = broken(|books| books.payments[0].refunded = super::super::books::Money::Minor(501));
        assert_eq!(too_much, ["amounts_nest"]);
    }

    #[test]
    fn what_outlives_a_finished_order() {
        let authorization = broken(|books| books.payments[1].status = "requires_capture".into());
        assert_eq!(authorization, ["no_authorization_outlives_order"]);
        let hold = |key: &str| of(json!([{"key": key, "status": "held"}]));
        assert_eq!(broken(|books| books.held = hold("o2")), ["no_reservation_outlives_order"]);
        assert_eq!(broken(|books| books.held = hold("o9")), ["no_reservation_outlives_order"]);
    }

    #[test]
    fn orders_left_over_or_double() {
        assert_eq!(broken(|books| books.orders[2].settled = false), ["all_is_finished"]);
        assert_eq!(broken(|books| books.orders[1].cart_id = "c9".into()), [] as [&str; 0]);
        assert_eq!(broken(|books| books.orders[2].cart_id = "c1".into()), ["one_order_per_cart"]);
        let stuck = broken(|books| books.orders[1].status = "stock_reserved".into());
        assert_eq!(stuck, ["all_is_finished", "one_order_per_cart"]);
    }
}
