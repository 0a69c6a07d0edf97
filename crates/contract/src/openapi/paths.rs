//! Path templates.

/// A path with its parameters' names left out: `/a/{id}/b` and `/a/{key}/b` are the same address.
pub fn normal_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, inside)) = rest.split_once('{') {
        let Some((_, after)) = inside.split_once('}') else { break };
        out.push_str(before);
        out.push_str("{}");
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The names in a path, in their order.
pub fn placeholders(path: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((_, inside)) = rest.split_once('{') {
        let Some((name, after)) = inside.split_once('}') else { break };
        out.push(name);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_count() {
        assert_eq!(normal_path("/a/{id}/b/{x}.json"), "/a/{}/b/{}.json");
        assert_eq!(normal_path("/a/{id"), "/a/{id");
        assert_eq!(placeholders("/a/{id}/b/{x}.json{"), ["id", "x"]);
    }
}
