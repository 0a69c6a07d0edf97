//! Amounts of money: whole minor units and a currency, with arithmetic that can overflow but never wraps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The shop's currency.
    pub const EUR: Self = Self(*b"EUR");

    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl std::str::FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(MoneyError::Currency),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why amounts cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three upper-case letters.
    #[error("a currency is an ISO 4217 code such as EUR")]
    Currency,
    /// The two are in different currencies.
    #[error("amounts in different currencies cannot be combined")]
    Mismatch,
    /// The result does not fit.
    #[error("the amount is too large")]
    Overflow,
}

impl From<MoneyError> for crate::problem::Problem {
    fn from(error: MoneyError) -> Self {
        Self::invalid("amount", "amount", error.to_string())
    }
}

/// An amount, possibly negative, in minor units (cents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units.
    pub amount: i64,
    /// Of this currency.
    pub currency: Currency,
}

impl Money {
    /// So many minor units of a currency.
    #[must_use]
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// So many cents.
    #[must_use]
    pub const fn eur(amount: i64) -> Self {
        Self::new(amount, Currency::EUR)
    }

    /// The sum.
    ///
    /// # Errors
    /// Different currencies, or overflow.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// Different currencies, or overflow.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The amount so many times.
    ///
    /// # Errors
    /// Overflow.
    pub fn checked_mul(self, times: i64) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_mul(times).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    /// The sum of all, zero of `currency` for none.
    ///
    /// # Errors
    /// Different currencies, or overflow.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::new(0, currency), Self::checked_add)
    }

    fn combine(self, other: Self, with: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mismatch);
        }
        let amount = with(self.amount, other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_wraps_and_never_mixes() {
        let usd = Money::new(1, "USD".parse().unwrap());
        assert_eq!(Money::eur(1).checked_add(usd), Err(MoneyError::Mismatch));
        assert_eq!(Money::eur(i64::MAX).checked_add(Money::eur(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::eur(i64::MIN).checked_sub(Money::eur(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::eur(i64::MAX / 2).checked_mul(3), Err(MoneyError::Overflow));
        assert_eq!(Money::sum(Currency::EUR, [Money::eur(2), Money::eur(-5)]), Ok(Money::eur(-3)));
    }

    #[test]
    fn travels_as_amount_and_currency() {
        let text = r#"{"amount":1250,"currency":"EUR"}"#;
        let money: Money = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&money).unwrap(), text);
        for bad in [
            r#"{"amount":1.5,"currency":"EUR"}"#,
            r#"{"amount":1,"currency":"eur"}"#,
            r#"{"amount":1,"currency":"€"}"#,
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }
}
