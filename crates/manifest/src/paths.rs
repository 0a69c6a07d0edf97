//! Paths of the manifest: made absolute, and those that must exist are looked for.

use std::path::{Component, Path, PathBuf};

use crate::code;
use crate::fault::Fault;
use crate::keys::Kind;
use crate::value::Value;

/// `path` seen from `base`, without `.` and with every `..` taken back by name.
pub(crate) fn join(base: &Path, path: impl AsRef<Path>) -> PathBuf {
    let mut out = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            // Above the root there is nothing, so a failed `pop` is right to change nothing.
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// A path, absolute.
pub(crate) fn path(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    value.some_text().map(|text| join(base, text))
}

/// One path or an array of them, absolute, each with its value.
pub(crate) fn paths<'a>(value: Value<'a>, base: &Path) -> Vec<(PathBuf, Value<'a>)> {
    let values = if value.as_text().is_some() {
        vec![value.alternative(|k| matches!(k, Kind::Path))]
    } else if value.is_array() {
        value.alternative(|k| matches!(k, Kind::List(_))).items()
    } else {
        value.wrong_type();
        Vec::new()
    };
    values.into_iter().filter_map(|v| Some((path(&v, base)?, v))).collect()
}

/// A folder that must be there.
pub(crate) fn folder(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    let path = path(value, base)?;
    if path.is_dir() {
        return Some(path);
    }
    let text = value.as_text().unwrap_or_default();
    let fault = if path.exists() {
        value
            .fault(code::NO_SUCH_PATH, format!("`{text}` is not a folder"))
            .hint("name the folder that it is in")
    } else {
        value
            .fault(code::NO_SUCH_PATH, format!("there is no folder `{text}`"))
            .hint("the path is relative to the folder of the manifest")
    };
    value.sink.push(fault);
    None
}

/// A file that must be there; `relative_to` says in words where relative paths start.
pub(crate) fn file(value: &Value<'_>, base: &Path, relative_to: &str) -> Option<PathBuf> {
    let path = path(value, base)?;
    if path.is_file() {
        return Some(path);
    }
    let text = value.as_text().unwrap_or_default();
    value.sink.push(
        value
            .fault(code::NO_SUCH_PATH, format!("there is no file `{text}`"))
            .hint(format!("the path is relative to {relative_to}")),
    );
    None
}

/// A path that will be needed, but not yet: a warning where nothing is there.
pub(crate) fn expected_file(value: &Value<'_>, base: &Path, relative_to: &str) -> Option<PathBuf> {
    let path = path(value, base)?;
    if !path.exists() {
        let text = value.as_text().unwrap_or_default();
        value.sink.push(
            Fault::warning(code::MISSING_FILE, value.span(), format!("`{text}` is not there yet"))
                .hint(format!("the path is relative to {relative_to}")),
        );
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_by_name() {
        let base = Path::new("/shop/inventory");
        assert_eq!(join(base, "../../target/x"), Path::new("/target/x"));
        assert_eq!(join(base, "./a/./b/../c"), Path::new("/shop/inventory/a/c"));
        assert_eq!(join(base, "/etc/x"), Path::new("/etc/x"));
        assert_eq!(join(base, "../../../../x"), Path::new("/x"));
        assert_eq!(join(base, "."), base);
    }
}
