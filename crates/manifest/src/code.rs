//! The stable codes of every fault; each has a page in `docs/errors/`.

/// Declares the codes and the list of all of them together, so that neither can miss one.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*
        /// Every code, in the order of this file.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    /// The file cannot be read.
    UNREADABLE = "manifest-unreadable";
    /// The text is not TOML.
    SYNTAX = "manifest-syntax";
    /// A key that Isles does not know.
    UNKNOWN_KEY = "manifest-unknown-key";
    /// A key that must be there is not.
    MISSING_KEY = "manifest-missing-key";
    /// A value of another type than the key takes.
    WRONG_TYPE = "manifest-wrong-type";
    /// A number, duration or size outside what makes sense.
    OUT_OF_RANGE = "manifest-out-of-range";
    /// Text that does not have the form the key needs.
    BAD_VALUE = "manifest-bad-value";
    /// Keys that do not go together.
    CONFLICT = "manifest-conflict";
    /// A name that is not a DNS label.
    BAD_NAME = "manifest-bad-name";
    /// A name that Isles uses itself.
    RESERVED_NAME = "manifest-reserved-name";
    /// A service and an external system with one name.
    DUPLICATE_NAME = "manifest-duplicate-name";
    /// The same entry twice.
    DUPLICATE_ENTRY = "manifest-duplicate-entry";
    /// A service that is not in the manifest.
    UNKNOWN_SERVICE = "manifest-unknown-service";
    /// A service that calls itself.
    SELF_CALL = "manifest-self-call";
    /// HTTP asked of a service that does not speak it.
    NEEDS_HTTP = "manifest-needs-http";
    /// A contract is to be enforced, and there is none.
    NO_CONTRACT = "manifest-no-contract";
    /// Two routes that match the same requests.
    ROUTE_CLASH = "manifest-route-clash";
    /// Two listeners on one address.
    ADDRESS_CLASH = "manifest-address-clash";
    /// An edge that could be reached from other machines.
    EDGE_NOT_LOOPBACK = "manifest-edge-not-loopback";
    /// A path that must exist and does not.
    NO_SUCH_PATH = "manifest-no-such-path";
    /// A certificate or key that cannot be used.
    CERTIFICATE = "manifest-certificate";
    /// A command that cannot be split into words.
    BAD_COMMAND = "manifest-bad-command";
    /// `${…}` that cannot be read.
    BAD_TEMPLATE = "manifest-bad-template";
    /// `${…}` with a name that Isles does not know.
    UNKNOWN_VARIABLE = "manifest-unknown-variable";
    /// `${calls.X…}` where X is not in `calls`.
    CALL_NOT_DECLARED = "manifest-call-not-declared";
    /// `${env.X}` where X is not set.
    UNSET_VARIABLE = "manifest-unset-variable";
    /// `${secret.X}` where X is not there.
    UNSET_SECRET = "manifest-unset-secret";
    /// `${secret.X}` on a command line.
    SECRET_IN_COMMAND = "manifest-secret-in-command";
    /// A variable that Isles sets itself.
    RESERVED_ENV = "manifest-reserved-env";
    /// A variable that Isles sets for a callee.
    ENV_COLLISION = "manifest-env-collision";
    /// Warning: syntax of a shell where no shell runs.
    SHELL_SYNTAX = "manifest-shell-syntax";
    /// Warning: `${…}` where nothing is filled in.
    NOT_FILLED_IN = "manifest-not-filled-in";
    /// Warning: a file that will be needed and is not there yet.
    MISSING_FILE = "manifest-missing-file";
    /// Warning: nothing to run.
    NO_SERVICES = "manifest-no-services";
}
