//! What a request or an answer has that its contract does not say.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use model::shapes::{BodyShape, Content, ParameterPlace, ParameterShape};
use serde_json::Value;

use super::Violation;
use super::book::Book;
use super::text::{Written, meanings};

/// More are not told of one request.
const MOST: usize = 20;
/// The longest name of a media type that is shown, in bytes.
const MEDIA: usize = 60;

/// A body, as far as it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// All of it; nothing where there is none.
    Whole(&'a [u8]),
    /// Not all of it, or in a coding.
    Not,
}

/// How the body of a message is written, as its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// In lower case, without parameters.
    pub essence: Option<String>,
    /// It is compressed, or the like.
    pub coded: bool,
}

impl Media {
    pub fn of(headers: &HeaderMap) -> Self {
        let named = headers.get(CONTENT_TYPE).and_then(|field| field.to_str().ok());
        let essence = named.and_then(|text| text.split(';').next()).map(|e| e.trim().to_ascii_lowercase());
        // Which of two counts is for the service to say, so that neither does here.
        let several = headers.get_all(CONTENT_TYPE).iter().count() > 1;
        let essence = if several { Some(String::new()) } else { essence };
        let plain = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
        let coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| !plain(coding.as_bytes()));
        Self { essence, coded }
    }

    /// Whether it is JSON that can be read as it is.
    pub fn is_json(&self) -> bool {
        let json = |essence: &String| {
            let (kind, sub) = essence.split_once('/').unwrap_or_default();
            (kind == "application" && sub == "json") || sub.ends_with("+json")
        };
        !self.coded && self.essence.as_ref().is_some_and(json)
    }

    /// The schema that a contract has for it: the outer is none where it has no place in it.
    fn find<'c>(&self, content: &'c Content) -> Option<Option<&'c str>> {
        let essence = self.essence.as_deref()?;
        let kind = essence.split('/').next().unwrap_or_default();
        let found = [essence, &format!("{kind}/*"), "*/*"].into_iter().find_map(|key| content.get(key));
        found.map(|schema| schema.as_deref())
    }
}

/// What of a request is not as its operation says.
pub(super) fn request(book: &Book, operation: usize, written: Written<'_>, body: Seen<'_>) -> Vec<Violation> {
    let Some(shape) = book.shape(operation) else { return Vec::new() };
    let mut found: Vec<Violation> =
        shape.parameters.iter().flat_map(|p| parameter(book, p, written)).collect();
    if let Some(shape) = &shape.body {
        found.extend(request_body(book, shape, &Media::of(written.headers), body));
    }
    found.truncate(MOST);
    found
}

fn parameter(book: &Book, parameter: &ParameterShape, written: Written<'_>) -> Vec<Violation> {
    let texts = written.texts(parameter);
    let kind = match parameter.place {
        ParameterPlace::Path => "path",
        ParameterPlace::Query => "query",
        ParameterPlace::Header => "header",
        ParameterPlace::Cookie => "cookie",
    };
    let place = format!("{kind} parameter `{}`", parameter.name);
    if texts.is_empty() {
        // A path without a segment of its own for it was matched all the same.
        let missing = parameter.required && parameter.place != ParameterPlace::Path;
        return missing.then(|| whole(&place, "it is missing")).into_iter().collect();
    }
    let Some(key) = &parameter.schema else { return Vec::new() };
    let schema = book.schema(key);
    if texts.len() > 1 && !schema.types.is_empty() && !schema.types.iter().any(|t| t == "array") {
        return vec![whole(&place, "it is given more than once")];
    }
    let (Some(validator), values) = (&schema.validator, meanings(&texts, parameter, &schema)) else {
        return Vec::new();
    };
    if values.iter().any(|value| validator.is_valid(value)) {
        return Vec::new();
    }
    values.first().map(|value| violations(&place, validator, value)).unwrap_or_default()
}

fn request_body(book: &Book, shape: &BodyShape, media: &Media, body: Seen<'_>) -> Vec<Violation> {
    let place = "request body";
    match body {
        Seen::Whole([]) if shape.required => vec![whole(place, "it is missing")],
        Seen::Whole([]) => Vec::new(),
        body => content(book, place, &shape.content, media, body),
    }
}

/// What of an answer is not as its operation says. `without_body` is one that has none whatever its head says.
pub(super) fn response(
    book: &Book,
    operation: usize,
    status: u16,
    without_body: bool,
    media: &Media,
    body: Seen<'_>,
) -> Vec<Violation> {
    let Some(shape) = book.shape(operation) else { return Vec::new() };
    let range = format!("{}XX", status / 100);
    let named =
        [status.to_string().as_str(), &range, "default"].into_iter().find_map(|s| shape.responses.get(s));
    let place = format!("answer {status}");
    let Some(promised) = named else {
        // That something may go wrong is understood; and nobody is promised what then.
        let understood = status >= 500 || shape.responses.is_empty();
        return if understood { Vec::new() } else { vec![whole(&place, "the contract has no such status")] };
    };
    if promised.is_empty() || without_body {
        return Vec::new();
    }
    if matches!(body, Seen::Whole([])) {
        return vec![whole(&place, "it has no body")];
    }
    let mut found = content(book, &place, promised, media, body);
    found.truncate(MOST);
    found
}

fn content(book: &Book, place: &str, promised: &Content, media: &Media, body: Seen<'_>) -> Vec<Violation> {
    if promised.is_empty() {
        return Vec::new();
    }
    let Some(schema) = media.find(promised) else {
        let detail = match &media.essence {
            None => "it has no content type".to_owned(),
            Some(essence) if is_media_type(essence) => {
                format!("its content type, `{essence}`, is not in the contract")
            }
            Some(_) => "its content type is none".to_owned(),
        };
        return vec![whole(place, &detail)];
    };
    let (Some(key), true, Seen::Whole(bytes)) = (schema, media.is_json(), body) else { return Vec::new() };
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return vec![whole(place, "it is not JSON")];
    };
    book.schema(key).validator.as_ref().map(|v| violations(place, v, &value)).unwrap_or_default()
}

/// Whether it is a type that is worth showing (RFC 6838, 4.2, with the top-level types that are registered): anybody may write
/// anything there.
fn is_media_type(text: &str) -> bool {
    const KINDS: [&str; 9] =
        ["application", "audio", "font", "image", "message", "model", "multipart", "text", "video"];
    let Some((kind, sub)) = text.split_once('/') else { return false };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    KINDS.contains(&kind) && (1..=MEDIA).contains(&sub.len()) && sub.bytes().all(named)
}

fn violations(place: &str, validator: &Validator, value: &Value) -> Vec<Violation> {
    let all = validator.iter_errors(value).take(MOST);
    let told = |error: ValidationError<'_>| Violation {
        place: place.to_owned(),
        pointer: Some(error.instance_path().to_string()).filter(|pointer| !pointer.is_empty()),
        detail: detail(&error),
    };
    let mut all: Vec<Violation> = all.map(told).collect();
    // They come in the order in which keywords happen to be looked at.
    all.sort_by(|a, b| (&a.pointer, &a.detail).cmp(&(&b.pointer, &b.detail)));
    all
}

/// A sentence that shows nothing of the value but names of properties.
fn detail(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::PropertyNames { .. } => "the name of a property is not allowed".to_owned(),
        ValidationErrorKind::FalseSchema => "nothing may be here".to_owned(),
        _ => error.masked_with("the value").to_string(),
    }
}

pub(super) fn whole(place: &str, detail: &str) -> Violation {
    Violation { place: place.to_owned(), pointer: None, detail: detail.to_owned() }
}
