//! The name under which sagas call and are called.

use std::sync::LazyLock;

use model::ServiceName;

/// What an edge to the API of sagas leads to, and who calls on behalf of a saga. A service cannot have this name.
#[expect(clippy::expect_used, reason = "the text is a good name, as a test shows")]
pub static SAGAS: LazyLock<ServiceName> =
    LazyLock::new(|| ServiceName::new("isles-sagas").expect("a good name"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_good() {
        assert_eq!(super::SAGAS.as_str(), "isles-sagas");
    }
}
