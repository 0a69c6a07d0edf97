//! What the manifest declares, for people.

/// An app as it is declared and in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The manifest's path.
    pub file: String,
    /// Where the gateway listens, and its routes: each a name and the service that it leads to.
    pub gateway: Option<(String, Vec<(String, String)>)>,
    /// Every service.
    pub services: Vec<DeclaredService>,
    /// Systems outside: names and URLs.
    pub externals: Vec<(String, String)>,
}

/// A service as it is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredService {
    /// Its name.
    pub name: String,
    /// The command line, its variables as they are written.
    pub command: String,
    /// How many replicas: `2`, or `1 to 4`.
    pub scale: String,
    /// How its health is asked.
    pub health: String,
    /// Whom it may call.
    pub calls: Vec<String>,
    /// Requests at one time.
    pub in_flight: u32,
    /// Bytes of memory of one replica.
    pub memory: Option<u64>,
    /// The contract file.
    pub contract: Option<String>,
    /// Names and values of its environment: variables as they are written, what looks like a secret masked.
    pub env: Vec<(String, String)>,
}
