//! The life of an order, as one table.

use std::fmt;

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Placed; nothing is held anywhere yet.
    Pending,
    /// Its units are held for it.
    StockReserved,
    /// The customer's bank agreed; no money has moved.
    PaymentAuthorized,
    /// Paid, and its units have left the stock.
    Confirmed,
    /// On its way to the customer.
    Shipped,
    /// With the customer.
    Delivered,
    /// Given up; if it had been paid, the refund is under way.
    Cancelled,
    /// Given up after it was paid; the money and the units are back.
    Refunded,
}

/// Every status, in the order of an order's life.
pub const ALL: [Status; 8] = [
    Status::Pending,
    Status::StockReserved,
    Status::PaymentAuthorized,
    Status::Confirmed,
    Status::Shipped,
    Status::Delivered,
    Status::Cancelled,
    Status::Refunded,
];

/// The moves that exist. What is not here is refused with `state_conflict`.
const MOVES: [(Status, Status); 10] = [
    (Status::Pending, Status::StockReserved),
    (Status::Pending, Status::Cancelled),
    (Status::StockReserved, Status::PaymentAuthorized),
    (Status::StockReserved, Status::Cancelled),
    (Status::PaymentAuthorized, Status::Confirmed),
    (Status::PaymentAuthorized, Status::Cancelled),
    (Status::Confirmed, Status::Shipped),
    (Status::Confirmed, Status::Cancelled),
    (Status::Cancelled, Status::Refunded),
    (Status::Shipped, Status::Delivered),
];

impl Status {
    /// The name used in answers and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::StockReserved => "stock_reserved",
            Self::PaymentAuthorized => "payment_authorized",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// The status of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether an order may go from here to `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        MOVES.contains(&(self, next))
    }

    /// The statuses from which an order may become `next`.
    #[must_use]
    pub fn before(next: Self) -> Vec<Self> {
        MOVES.iter().filter(|(_, to)| *to == next).map(|(from, _)| *from).collect()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for status in ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("Pending"), None);
    }

    #[test]
    fn the_table_of_moves() {
        let table: Vec<String> = ALL
            .into_iter()
            .map(|from| {
                let to: Vec<_> =
                    ALL.into_iter().filter(|to| from.may_become(*to)).map(Status::as_str).collect();
                format!("{from} -> {}", to.join(", "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "pending -> stock_reserved, cancelled",
                "stock_reserved -> payment_authorized, cancelled",
                "payment_authorized -> confirmed, cancelled",
                "confirmed -> shipped, cancelled",
                "shipped -> delivered",
                "delivered -> ",
                "cancelled -> refunded",
                "refunded -> ",
            ]
        );
    }

    #[test]
    fn what_left_the_house_is_never_cancelled() {
        assert!(!Status::Shipped.may_become(Status::Cancelled));
        assert!(!Status::Delivered.may_become(Status::Cancelled));
        assert_eq!(Status::before(Status::Shipped), [Status::Confirmed]);
    }
}
