//! Postal addresses.

use serde::{Deserialize, Serialize};
use service_kit::problem::{Checks, Problem};

/// How many addresses a customer may keep.
pub const MOST: i64 = 50;

/// An address as written by its customer.
#[derive(Debug, Clone, Deserialize)]
pub struct AddressBody {
    pub name: String,
    pub line1: String,
    pub line2: Option<String>,
    pub city: String,
    pub region: Option<String>,
    pub postal_code: String,
    pub country: String,
}

/// An address as stored and shown.
#[derive(Debug, Clone, Serialize)]
pub struct Address {
    pub id: String,
    pub name: String,
    pub line1: String,
    pub line2: Option<String>,
    pub city: String,
    pub region: Option<String>,
    pub postal_code: String,
    pub country: String,
    pub version: i64,
}

impl AddressBody {
    /// Checks every field.
    ///
    /// # Errors
    /// 422 `validation_failed`.
    pub fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.text(&self.name, "name", 1, 200);
        checks.text(&self.line1, "line1", 1, 200);
        checks.text(self.line2.as_deref().unwrap_or_default(), "line2", 0, 200);
        checks.text(&self.city, "city", 1, 200);
        checks.text(self.region.as_deref().unwrap_or_default(), "region", 0, 200);
        checks.text(&self.postal_code, "postal_code", 1, 32);
        let country = self.country.len() == 2 && self.country.bytes().all(|byte| byte.is_ascii_uppercase());
        checks.require(
            country,
            "country",
            "country",
            "Must be an ISO 3166-1 code of two upper-case letters.",
        );
        checks.finish()
    }

    /// This address under an id and version.
    pub fn into_address(self, id: String, version: i64) -> Address {
        let Self { name, line1, line2, city, region, postal_code, country } = self;
        Address { id, name, line1, line2, city, region, postal_code, country, version }
    }
}
