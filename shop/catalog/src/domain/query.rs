//! What customers ask of the list: a search, a category, an order, a page.

use serde::{Deserialize, Serialize};
use service_kit::page::Limit;
use service_kit::problem::Problem;

use super::product::{Product, Status};

const LONGEST_SEARCH: usize = 200;

/// The query parameters of the list.
#[derive(Debug, Clone, Deserialize)]
pub struct ListQuery {
    pub q: Option<String>,
    pub category: Option<String>,
    pub sort: Option<String>,
    pub status: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<String>,
}

/// The order of a list. Equal ones are ordered by id, so that a page never repeats or skips one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Sort {
    /// By name, without regard to case.
    Name,
    /// Cheapest first.
    Price,
    /// Dearest first.
    PriceDescending,
    /// Newest first.
    Newest,
}

/// Which products, in which order: everything that a cursor is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Lower case; each must occur.
    pub words: Vec<String>,
    pub category: Option<String>,
    pub sort: Sort,
    /// `None`: whatever the status.
    pub status: Option<&'static str>,
}

/// A product's place in the order, as a cursor holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// Price or age, and id.
    Number(i64, String),
    /// Name, and id.
    Text(String, String),
}

impl Sort {
    /// The place of a product.
    pub fn place(self, product: &Product) -> Place {
        let id = product.id.clone();
        match self {
            Self::Name => Place::Text(product.name_key(), id),
            Self::Price | Self::PriceDescending => Place::Number(product.price.amount, id),
            Self::Newest => Place::Number(product.created_at, id),
        }
    }

    /// The column that it goes by.
    pub fn column(self) -> &'static str {
        match self {
            Self::Name => "name_key",
            Self::Price | Self::PriceDescending => "price_amount",
            Self::Newest => "created_at",
        }
    }

    /// Whether the greatest comes first.
    pub fn is_descending(self) -> bool {
        matches!(self, Self::PriceDescending | Self::Newest)
    }

    /// Whether a place belongs to this order.
    pub fn fits(self, place: &Place) -> bool {
        matches!(
            (self, place),
            (Self::Name, Place::Text(..))
                | (Self::Price | Self::PriceDescending | Self::Newest, Place::Number(..))
        )
    }
}

impl ListQuery {
    /// What this asks for. Admins see every status unless they choose one; everyone else active products.
    ///
    /// # Errors
    /// 422 `validation_failed`; 403 for a status that only admins see.
    pub fn filter(&self, is_admin: bool) -> Result<Filter, Problem> {
        let q = self.q.as_deref().unwrap_or_default();
        if q.chars().count() > LONGEST_SEARCH {
            return Err(Problem::invalid("q", "too_long", "A search has at most 200 characters."));
        }
        let category = self.category.clone().filter(|category| !category.is_empty());
        Ok(Filter {
            words: q.to_lowercase().split_whitespace().map(str::to_owned).collect(),
            category,
            sort: self.sort()?,
            status: self.status(is_admin)?,
        })
    }

    fn sort(&self) -> Result<Sort, Problem> {
        match self.sort.as_deref() {
            None | Some("" | "name") => Ok(Sort::Name),
            Some("price") => Ok(Sort::Price),
            Some("-price") => Ok(Sort::PriceDescending),
            Some("newest") => Ok(Sort::Newest),
            Some(_) => {
                Err(Problem::invalid("sort", "unknown", "Must be one of name, price, -price, newest."))
            }
        }
    }

    fn status(&self, is_admin: bool) -> Result<Option<&'static str>, Problem> {
        let wanted = match self.status.as_deref() {
            None | Some("") => {
                if is_admin {
                    None
                } else {
                    Some(Status::Active)
                }
            }
            Some("active") => Some(Status::Active),
            Some("draft") => Some(Status::Draft),
            Some("archived") => Some(Status::Archived),
            Some("all") => None,
            Some(_) => {
                return Err(Problem::invalid(
                    "status",
                    "unknown",
                    "Must be one of active, draft, archived, all.",
                ));
            }
        };
        if !is_admin && wanted != Some(Status::Active) {
            return Err(Problem::forbidden("Only an admin sees products that are not active."));
        }
        Ok(wanted.map(Status::as_str))
    }
}
