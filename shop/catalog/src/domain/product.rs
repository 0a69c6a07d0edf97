//! Products as stored and shown.

use serde::{Deserialize, Serialize};
use service_kit::money::Money;

/// Who can see a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everyone.
    Active,
    /// Admins, until it is ready.
    Draft,
    /// Admins, because it is no longer sold.
    Archived,
}

impl Status {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draft => "draft",
            Self::Archived => "archived",
        }
    }

    /// From what [`Status::as_str`] wrote.
    pub fn from_stored(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "draft" => Self::Draft,
            _ => Self::Archived,
        }
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// `UUIDv7`.
    pub id: String,
    /// The article number that every other service knows it by. Never changes.
    pub sku: String,
    /// Its name in addresses.
    pub slug: String,
    pub name: String,
    pub description: String,
    /// A category's slug.
    pub category: String,
    pub price: Money,
    /// A path that the storefront serves.
    pub image: String,
    pub status: Status,
    /// Goes up with every change.
    pub version: i64,
    #[serde(skip)]
    pub created_at: i64,
}

impl Product {
    /// What sorting by name goes by.
    pub fn name_key(&self) -> String {
        self.name.to_lowercase()
    }

    /// What a search looks in: the category in words, too.
    pub fn search_text(&self, category_name: &str) -> String {
        let Self { name, description, category, sku, .. } = self;
        format!("{name}\n{description}\n{category}\n{category_name}\n{sku}").to_lowercase()
    }
}

/// A category and how many active products it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Category {
    pub slug: String,
    pub name: String,
    pub count: i64,
}

/// The picture of a product that was given none.
pub fn default_image(slug: &str) -> String {
    format!("/images/products/{slug}.svg")
}

/// A text as a slug: lower-case letters and digits of ASCII, everything else a single dash.
pub fn slug_of(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(80);
    slug.trim_end_matches('-').to_owned()
}

/// A slug in words, for a category that was given no name.
pub fn words_of(slug: &str) -> String {
    let mut words = slug.replace('-', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_slugs() {
        assert_eq!(slug_of("  Émaille-Mug, 350 ml! "), "maille-mug-350-ml");
        assert_eq!(slug_of("🍎"), "");
        assert_eq!(slug_of(&"ab-".repeat(100)).len(), 80);
        assert_eq!(words_of("home-office"), "Home office");
        assert_eq!(words_of(""), "");
    }
}
