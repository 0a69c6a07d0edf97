//! Parameters as values: OpenAPI 3.1, "Parameter Object", the styles `simple` and `form`.

use http::HeaderMap;
use http::header::COOKIE;
use model::shapes::{ParameterPlace, ParameterShape};
use serde_json::Value;

use super::book::Schema;

/// Where the parameters of a request are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    /// As the contract writes it, with `{parameters}`.
    pub template: &'a str,
    /// As it was asked for.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

impl Written<'_> {
    /// Every value of a parameter, as text; none where it is not there.
    pub fn texts(&self, parameter: &ParameterShape) -> Vec<String> {
        let name = &parameter.name;
        match parameter.place {
            ParameterPlace::Path => segment(self.template, self.path, name).into_iter().collect(),
            ParameterPlace::Query => {
                let pairs = form_urlencoded::parse(self.query.as_bytes());
                pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
            }
            ParameterPlace::Header => {
                let fields = self.headers.get_all(name.as_str()).iter();
                fields.filter_map(|field| field.to_str().ok()).map(str::to_owned).collect()
            }
            ParameterPlace::Cookie => {
                let fields = self.headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
                let pairs =
                    fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
                pairs.filter(|(key, _)| key == name).map(|(_, value)| value.to_owned()).collect()
            }
        }
    }
}

/// What stands for `{name}` where that is a whole segment.
fn segment(template: &str, path: &str, name: &str) -> Option<String> {
    let wanted = |segment: &str| segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) == Some(name);
    let at = template.split('/').position(wanted)?;
    let found = path.split('/').nth(at)?;
    Some(percent_encoding::percent_decode_str(found).decode_utf8_lossy().into_owned())
}

/// What the texts can mean as values of the schema, the likelier first. None where only an object would do.
pub(super) fn meanings(texts: &[String], parameter: &ParameterShape, schema: &Schema) -> Vec<Value> {
    let has = |name: &str| schema.types.iter().any(|t| t == name);
    let mut all = Vec::new();
    if has("array") {
        let repeated =
            parameter.explode && matches!(parameter.place, ParameterPlace::Query | ParameterPlace::Cookie);
        let items: Vec<&str> = match texts {
            _ if repeated => texts.iter().map(String::as_str).collect(),
            [one] if one.is_empty() => Vec::new(),
            some => some.iter().flat_map(|text| text.split(',')).map(str::trim).collect(),
        };
        all.push(items.iter().map(|item| scalars(item, &schema.item_types).swap_remove(0)).collect());
    }
    let only_other = !schema.types.is_empty() && schema.types.iter().all(|t| t == "array" || t == "object");
    if let Some(last) = texts.last().filter(|_| !only_other) {
        all.extend(scalars(last, &schema.types));
    }
    all
}

/// Never empty: the last one is the text itself.
fn scalars(text: &str, types: &[String]) -> Vec<Value> {
    let has = |names: &[&str]| types.iter().any(|t| names.contains(&t.as_str()));
    let mut all = Vec::new();
    if has(&["integer", "number"]) {
        all.extend(serde_json::from_str(text).ok().filter(Value::is_number));
    }
    if has(&["boolean"]) {
        all.extend(text.parse().ok().map(Value::Bool));
    }
    if has(&["null"]) && text.is_empty() {
        all.push(Value::Null);
    }
    all.push(Value::from(text));
    all
}
