//! What admins write: new products and changes to them, checked before anything is stored.

use serde::Deserialize;
use service_kit::clock::{new_id, now_ms};
use service_kit::money::{Currency, Money};
use service_kit::problem::{Checks, Problem};

use super::product::{Product, Status, default_image, slug_of};

/// A million in the shop's currency: whatever costs more is a slip of the finger.
const HIGHEST_PRICE: i64 = 100_000_000;

/// A new product.
#[derive(Debug, Clone, Deserialize)]
pub struct Draft {
    sku: String,
    slug: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    category: String,
    category_name: Option<String>,
    price: Money,
    image: Option<String>,
    status: Option<Status>,
}

/// A change to a product: what is left out stays.
#[derive(Debug, Clone, Deserialize)]
pub struct Change {
    sku: Option<String>,
    slug: Option<String>,
    name: Option<String>,
    description: Option<String>,
    category: Option<String>,
    category_name: Option<String>,
    price: Option<Money>,
    image: Option<String>,
    status: Option<Status>,
}

impl Draft {
    /// The product that this makes, and the name for its category if that is new.
    ///
    /// # Errors
    /// 422 `validation_failed`.
    pub fn into_product(self) -> Result<(Product, Option<String>), Problem> {
        let slug = self.slug.unwrap_or_else(|| match slug_of(&self.name) {
            slug if slug.is_empty() => slug_of(&self.sku),
            slug => slug,
        });
        let product = Product {
            id: new_id(),
            image: self.image.unwrap_or_else(|| default_image(&slug)),
            sku: self.sku,
            slug,
            name: self.name.trim().to_owned(),
            description: self.description,
            category: self.category,
            price: self.price,
            status: self.status.unwrap_or(Status::Active),
            version: 1,
            created_at: now_ms(),
        };
        check(&product, self.category_name.as_deref())?;
        Ok((product, self.category_name))
    }
}

impl Change {
    /// The product after this change, at the next version, and the name for its category if that is new.
    ///
    /// # Errors
    /// 422 `validation_failed`.
    pub fn apply(self, present: &Product) -> Result<(Product, Option<String>), Problem> {
        if self.sku.is_some_and(|sku| sku != present.sku) {
            return Err(Problem::invalid(
                "sku",
                "immutable",
                "A SKU never changes: orders and stock go by it.",
            ));
        }
        let keep = Product::clone(present);
        let product = Product {
            slug: self.slug.unwrap_or(keep.slug),
            name: self.name.map_or(keep.name, |name| name.trim().to_owned()),
            description: self.description.unwrap_or(keep.description),
            category: self.category.unwrap_or(keep.category),
            price: self.price.unwrap_or(keep.price),
            image: self.image.unwrap_or(keep.image),
            status: self.status.unwrap_or(keep.status),
            version: present.version + 1,
            ..keep
        };
        check(&product, self.category_name.as_deref())?;
        Ok((product, self.category_name))
    }
}

fn check(product: &Product, category_name: Option<&str>) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.require(
        is_sku(&product.sku),
        "sku",
        "sku",
        "Must have 1 to 64 letters, digits, dots, dashes or underscores.",
    );
    let slug = &product.slug;
    checks.require(
        is_slug(slug),
        "slug",
        "slug",
        "Must have 1 to 80 lower-case letters and digits, joined by single dashes.",
    );
    // A product is found by id or slug; one must not look like the other.
    checks.require(uuid::Uuid::parse_str(slug).is_err(), "slug", "slug", "Must not look like an id.");
    checks.text(&product.name, "name", 1, 200);
    checks.text(&product.description, "description", 0, 5000);
    let category = &product.category;
    checks.require(is_slug(category), "category", "slug", "Must be a category's slug, such as home-office.");
    checks.text(category_name.unwrap_or("x"), "category_name", 1, 100);
    let Money { amount, currency } = product.price;
    checks.require(
        (0..=HIGHEST_PRICE).contains(&amount),
        "price.amount",
        "range",
        "Must be between 0 and 100000000 cents.",
    );
    checks.require(currency == Currency::EUR, "price.currency", "currency", "The shop sells in EUR.");
    checks.require(
        is_image(&product.image),
        "image",
        "image",
        "Must be a path below /images/, at most 200 characters.",
    );
    checks.finish()
}

fn is_sku(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_slug(text: &str) -> bool {
    text.len() <= 80 && !text.is_empty() && slug_of(text) == text
}

/// A path of the storefront, so that no product can make a browser fetch from elsewhere.
fn is_image(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    text.starts_with("/images/") && text.len() <= 200 && text.bytes().all(plain) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_good_names() {
        assert!(is_sku("KIT-MUG-01") && !is_sku("") && !is_sku("-x") && !is_sku("a b") && !is_sku("ä"));
        assert!(
            is_slug("enamel-mug") && !is_slug("Enamel") && !is_slug("-a") && !is_slug("a--b") && !is_slug("")
        );
        assert!(
            is_image("/images/products/a.svg")
                && !is_image("https://evil.example/a.svg")
                && !is_image("/images/../x")
        );
    }
}
