//! The one list of what may stand in `isles.toml`: the reader, the JSON Schema and the reference all come from it.

mod table;

pub(crate) use table::*;

/// A table of the manifest.
pub(crate) struct Table {
    /// How the reference calls it, such as `services.NAME`.
    pub(crate) title: &'static str,
    /// What it is for.
    pub(crate) doc: &'static str,
    /// What may stand in it.
    pub(crate) keys: &'static [Key],
}

/// A key of a [`Table`].
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// What holds where the key is left out, as it would be written; read by the same code as a written value.
    pub(crate) default: Option<&'static str>,
    /// The default in words, where it is no plain value.
    pub(crate) otherwise: &'static str,
    pub(crate) doc: &'static str,
    /// What other tools call it.
    pub(crate) also: &'static [&'static str],
}

/// What kind of value a key takes. Bounds are inclusive.
pub(crate) enum Kind {
    Text,
    /// A service's, app's or external system's name.
    Name,
    /// A file or folder.
    Path,
    /// `/…`, the path of a URL.
    UrlPath,
    Url,
    /// IP address and port.
    Address,
    Boolean,
    /// `100/s`.
    Rate,
    Choice(&'static [&'static str]),
    Integer(u32, u32),
    Number(f64, f64),
    /// Milliseconds.
    Duration(u64, u64),
    /// Bytes.
    Size(u64, u64),
    /// A command: text that is split into words, or an array of words.
    Words,
    /// Text with `${…}`.
    Template,
    List(&'static Kind),
    Table(&'static Table),
    /// Tables by name.
    Tables(&'static Table),
    /// Any keys, all with values of this kind.
    Map(&'static Kind),
    AnyOf(&'static [Kind]),
}

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}

impl Kind {
    /// What a person would call a value of this kind, with its article and an example.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text | Self::Template => "text".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::UrlPath => "a path that starts with `/`".to_owned(),
            Self::Url => "a URL such as \"https://api.example\"".to_owned(),
            Self::Address => "an address such as \"127.0.0.1:8080\"".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Rate => "a rate such as \"100/s\"".to_owned(),
            Self::Choice(choices) => one_of(choices),
            Self::Integer(..) => "a whole number".to_owned(),
            Self::Number(..) => "a number".to_owned(),
            Self::Duration(..) => "a duration such as \"10s\"".to_owned(),
            Self::Size(..) => "a size such as \"512MB\"".to_owned(),
            Self::Words => "a command, as text or as an array of words".to_owned(),
            Self::List(inner) => format!("an array, each entry {}", inner.expected()),
            Self::Table(_) | Self::Tables(_) | Self::Map(_) => "a table".to_owned(),
            Self::AnyOf(kinds) => kinds.iter().map(Self::expected).collect::<Vec<_>>().join(", or "),
        }
    }
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|c| format!("\"{c}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, default: None, otherwise: "", doc, also: &[] }
}

impl Key {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn otherwise(self, otherwise: &'static str) -> Self {
        Self { otherwise, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}
