//! The part of the link that stays as it is from protocol to protocol, so that data planes of different versions of the
//! program can take over from each other, and a control plane can see to both.
//!
//! Frames are those of [`super::frame`]. Fields may be added here, and readers pass over those they do not know; none may
//! be renamed, removed or given another meaning:
//!
//! | who says | what | answer |
//! |---|---|---|
//! | data plane, first on every connection | `hello` | |
//! | control plane to data plane | `hand_over {to}`: pass your sockets to who listens at this path | `handed_over` |
//! | control plane to data plane | `load`: what do you still have in flight | `load` |
//! | control plane to data plane | `shutdown`: drain and end | `shutting_down` |
//! | old data plane to the new one | `take {listeners}`, followed by the files: the link's socket and its lock, then the listeners in order | `taken` |
//! | new data plane to the old one | `retire`: I serve; accept nothing more, end what you have | `retired` |
//!
//! Any of them may be answered with `refused {reason}`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::ReplicaId;
use serde::{Deserialize, Serialize};

/// What a data plane says first on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its process id.
    pub pid: u32,
    /// Which protocol it speaks, see [`super::PROTOCOL`].
    pub protocol: u32,
    /// The version of the route table in force, if it has got one.
    pub version: Option<u64>,
    /// Which program it runs, see [`super::build`].
    pub build: String,
    /// It has handed its sockets over, and only ends what it has.
    #[serde(default)]
    pub retired: bool,
}

/// What a data plane has in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// No request can begin there any more.
    pub settled: bool,
    /// Requests, upgraded and TCP connections in flight for each replica; one that is absent has none.
    pub in_flight: BTreeMap<ReplicaId, u64>,
}

/// What a data plane asks of another one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// The address of every listening socket that follows the link's socket and its lock.
    Take {
        listeners: Vec<SocketAddr>,
    },
    Retire,
}

/// The stable requests of a control plane.
#[derive(Debug, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Ask {
    HandOver { to: PathBuf },
    Load,
    Shutdown,
}

/// The stable answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Say {
    Hello(Hello),
    Taken,
    Retired,
    Refused { reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another version of this program will read and write exactly these.
    #[test]
    fn the_words_stay_the_same() {
        let hello = Hello { pid: 7, protocol: 9, version: Some(3), build: "b".to_owned(), retired: true };
        let load = Load { settled: true, in_flight: [("web-1".parse().unwrap(), 2)].into() };
        for (said, word) in [
            (
                serde_json::to_string(&Say::Hello(hello)),
                r#"{"is":"hello","pid":7,"protocol":9,"version":3,"build":"b","retired":true}"#,
            ),
            (serde_json::to_string(&Say::Taken), r#"{"is":"taken"}"#),
            (serde_json::to_string(&Say::Retired), r#"{"is":"retired"}"#),
            (
                serde_json::to_string(&super::super::Reply::Load(load)),
                r#"{"is":"load","settled":true,"in_flight":{"web-1":2}}"#,
            ),
            (serde_json::to_string(&super::super::Reply::HandedOver), r#"{"is":"handed_over"}"#),
            (serde_json::to_string(&super::super::Reply::ShuttingDown), r#"{"is":"shutting_down"}"#),
            (
                serde_json::to_string(&Ask::HandOver { to: "/a/b".into() }),
                r#"{"do":"hand_over","to":"/a/b"}"#,
            ),
            (serde_json::to_string(&Ask::Load), r#"{"do":"load"}"#),
            (serde_json::to_string(&Ask::Shutdown), r#"{"do":"shutdown"}"#),
            (
                serde_json::to_string(&Order::Take { listeners: vec!["127.0.0.1:80".parse().unwrap()] }),
                r#"{"do":"take","listeners":["127.0.0.1:80"]}"#,
            ),
            (serde_json::to_string(&Order::Retire), r#"{"do":"retire"}"#),
        ] {
            assert_eq!(said.unwrap(), word);
        }
        let newer = r#"{"is":"hello","pid":7,"protocol":9,"version":null,"build":"b","more":[1]}"#;
        assert!(serde_json::from_str::<Say>(newer).is_ok(), "what is added is passed over");
    }
}
