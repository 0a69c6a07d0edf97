//! The rules about operations and what belongs to them.

rules! {
    "Every rule about an operation of an OpenAPI document." rule
    OPERATION_ADDED "operation-added" Safe Wire
        "There is a new operation.", "nothing has to be done";
    OPERATION_REMOVED "operation-removed" Breaking Wire
        "Whoever calls it is refused.", "keep it, mark it as `deprecated`, give it an `x-sunset`, and remove it after that day";
    OPERATION_REMOVED_DEPRECATED "operation-removed-with-deprecation" Warning Wire
        "It was deprecated, without a day from which it would be gone.", "announce the day with `x-sunset` first";
    OPERATION_REMOVED_AFTER_SUNSET "operation-removed-after-sunset" Safe Wire
        "It was deprecated, and its day (`x-sunset`) has come.", "nothing has to be done";
    OPERATION_REMOVED_BEFORE_SUNSET "operation-removed-before-sunset" Breaking Wire
        "It was promised to stay until its `x-sunset`.", "wait for that day";
    OPERATION_REMOVED_LOOSE "operation-removed-while-unstable" Safe Wire
        "Its `x-stability-level` was `draft` or `alpha`: nobody was to rely on it.", "nothing has to be done";
    OPERATION_DEPRECATED "operation-deprecated" Safe Lifecycle
        "It is announced that it will go.", "nothing has to be done";
    OPERATION_REACTIVATED "operation-reactivated" Safe Lifecycle
        "It is not announced any more that it will go.", "nothing has to be done";
    SUNSET_REMOVED "sunset-removed" Breaking Lifecycle
        "It was promised until when it would stay, and still is deprecated.", "keep `x-sunset`, or take `deprecated` away as well";
    SUNSET_EARLIER "sunset-earlier" Breaking Lifecycle
        "It was promised to stay longer.", "keep the day, or name a later one";
    SUNSET_LATER "sunset-later" Safe Lifecycle
        "It stays longer.", "nothing has to be done";
    SUNSET_UNREADABLE "sunset-unreadable" Breaking Lifecycle
        "`x-sunset` is no date (RFC 3339), so nothing is promised.", "write it as `2027-12-31`";
    STABILITY_DECREASED "stability-decreased" Breaking Lifecycle
        "What was promised to stay is not any more (`x-stability-level`).", "keep the level";
    STABILITY_INCREASED "stability-increased" Safe Lifecycle
        "More is promised.", "nothing has to be done";
    STABILITY_UNREADABLE "stability-unreadable" Breaking Lifecycle
        "`x-stability-level` is none of `draft`, `alpha`, `beta`, `stable`.", "write one of these";
    OPERATION_ID_CHANGED "operation-id-changed" Warning Identity
        "Nothing changes on the wire, but sagas, generated clients and links name operations by their `operationId`.",
        "keep the `operationId`";
    OPERATION_ID_REMOVED "operation-id-removed" Warning Identity
        "Nothing changes on the wire, but sagas, generated clients and links name operations by their `operationId`.",
        "keep the `operationId`";
    OPERATION_ID_ADDED "operation-id-added" Safe Identity
        "The operation has a name now.", "nothing has to be done";

    NEW_PATH_PARAMETER "new-request-path-parameter" Breaking Wire
        "The path asks for a value that no consumer knows of.", "add a new path beside the old one";
    NEW_REQUIRED_PARAMETER "new-required-request-parameter" Breaking Wire
        "Whoever does not know the parameter is refused.", "make it optional, with a default";
    NEW_OPTIONAL_PARAMETER "new-optional-request-parameter" Safe Wire
        "Consumers need not send it.", "nothing has to be done";
    PARAMETER_REMOVED "request-parameter-removed" Warning Wire
        "Consumers that still send it are not told what happens to it.", "mark it as deprecated and go on accepting it";
    PARAMETER_REMOVED_DEPRECATED "request-parameter-removed-with-deprecation" Safe Wire
        "It was deprecated.", "nothing has to be done";
    PARAMETER_REMOVED_BEFORE_SUNSET "request-parameter-removed-before-sunset" Breaking Wire
        "It was promised to stay until its `x-sunset`.", "wait for that day";
    PARAMETER_BECAME_REQUIRED "request-parameter-became-required" Breaking Wire
        "Whoever leaves it out is refused.", "keep it optional, with a default";
    PARAMETER_BECAME_OPTIONAL "request-parameter-became-optional" Safe Wire
        "It may be left out now.", "nothing has to be done";
    PARAMETER_SERIALIZATION "request-parameter-serialization-changed" Breaking Wire
        "Values are written in another way (`style`, `explode`, or the media type in `content`), so the old ones are read wrongly.",
        "add a new parameter for the new way";
    PARAMETER_RENAMED "path-parameter-renamed" Safe Identity
        "Names of path parameters are not on the wire.", "nothing has to be done";
    PARAMETER_SCHEMA_ADDED "request-parameter-schema-added" Breaking Wire
        "Any value was valid.", "go on accepting other values";
    PARAMETER_SCHEMA_REMOVED "request-parameter-schema-removed" Safe Wire
        "Any value is valid now.", "nothing has to be done";
    PARAMETER_DEPRECATED "request-parameter-deprecated" Safe Lifecycle
        "It is announced that it will go.", "nothing has to be done";
    PARAMETER_REACTIVATED "request-parameter-reactivated" Safe Lifecycle
        "It is not announced any more that it will go.", "nothing has to be done";
    PARAMETER_TO_LIST "request-parameter-became-list" Safe Wire
        "A single value is written like a list of one.", "nothing has to be done";
    PARAMETER_TO_LIST_UNCLEAR "request-parameter-became-delimited-list" Unknown Wire
        "A single value is written like a list of one, but a value that contains the delimiter is read as several.",
        "add a new parameter for the list";

    BODY_ADDED_REQUIRED "request-body-added-required" Breaking Wire
        "Whoever sends none is refused.", "make it optional";
    BODY_ADDED_OPTIONAL "request-body-added-optional" Safe Wire
        "Consumers need not send it.", "nothing has to be done";
    BODY_REMOVED "request-body-removed" Breaking Wire
        "What consumers say with it cannot be said any more.", "go on accepting it";
    BODY_BECAME_REQUIRED "request-body-became-required" Breaking Wire
        "Whoever sends none is refused.", "keep it optional";
    BODY_BECAME_OPTIONAL "request-body-became-optional" Safe Wire
        "It may be left out now.", "nothing has to be done";
    REQUEST_MEDIA_ADDED "request-body-media-type-added" Safe Wire
        "There is a further way to write it.", "nothing has to be done";
    REQUEST_MEDIA_REMOVED "request-body-media-type-removed" Breaking Wire
        "Whoever writes it so is refused.", "go on accepting it";
    REQUEST_MEDIA_SCHEMA_ADDED "request-body-media-type-schema-added" Breaking Wire
        "Anything was valid.", "go on accepting anything";
    REQUEST_MEDIA_SCHEMA_REMOVED "request-body-media-type-schema-removed" Safe Wire
        "Anything is valid now.", "nothing has to be done";

    SUCCESS_STATUS_REMOVED "response-success-status-removed" Breaking Wire
        "Consumers rely on the answer when all went well.", "go on answering with it";
    SUCCESS_STATUS_ADDED "response-success-status-added" Safe Wire
        "There is a further answer when all went well.", "nothing has to be done";
    SUCCESS_RANGE_NARROWED "response-success-range-narrowed" Warning Wire
        "A range of statuses has become single ones.", "nothing has to be done for consumers that look at the range";
    ERROR_STATUS_REMOVED "response-non-success-status-removed" Safe Wire
        "There is one kind of failure less.", "nothing has to be done";
    ERROR_STATUS_ADDED "response-non-success-status-added" Safe Wire
        "Consumers handle failures that they do not know like others of their class (RFC 9110, 15).", "nothing has to be done";
    DEFAULT_RESPONSE_REMOVED "response-default-removed" Warning Wire
        "What any other answer looks like is not said any more.", "keep it";
    RESPONSE_MEDIA_ADDED "response-media-type-added" Safe Wire
        "Consumers get it only if they ask for it.", "nothing has to be done";
    RESPONSE_MEDIA_REMOVED "response-media-type-removed" Breaking Wire
        "Consumers that ask for it get none.", "go on offering it";
    RESPONSE_MEDIA_GENERALIZED "response-media-type-generalized" Breaking Wire
        "The answer may be of other media types of the range now.", "name the media types that are sent";
    RESPONSE_MEDIA_SPECIALIZED "response-media-type-specialized" Warning Wire
        "The answer is of a more special media type; consumers that compare the name exactly do not know it.", "keep the name";
    RESPONSE_MEDIA_PARAMETERS "response-media-type-parameters-changed" Warning Wire
        "Only the parameters of the media type differ.", "keep them";
    RESPONSE_MEDIA_SCHEMA_ADDED "response-body-media-type-schema-added" Safe Wire
        "It is said what the answer looks like.", "nothing has to be done";
    RESPONSE_MEDIA_SCHEMA_REMOVED "response-body-media-type-schema-removed" Breaking Wire
        "The answer may be anything now.", "keep the schema";
    HEADER_ADDED "response-header-added" Safe Wire
        "Consumers ignore what they do not know.", "nothing has to be done";
    HEADER_REMOVED "required-response-header-removed" Breaking Wire
        "The header was always there.", "go on sending it";
    OPTIONAL_HEADER_REMOVED "optional-response-header-removed" Warning Wire
        "Consumers had to expect that it is not there, but may not have met that.", "go on sending it";
    HEADER_BECAME_OPTIONAL "response-header-became-optional" Breaking Wire
        "The header may be missing now.", "go on sending it always";
    HEADER_BECAME_REQUIRED "response-header-became-required" Safe Wire
        "The header is always there now.", "nothing has to be done";
    HEADER_SCHEMA_ADDED "response-header-schema-added" Safe Wire
        "It is said what the header looks like.", "nothing has to be done";
    HEADER_SCHEMA_REMOVED "response-header-schema-removed" Breaking Wire
        "The header may be anything now.", "keep the schema";

    SECURITY_ADDED "api-security-added" Breaking Wire
        "The operation could be called without credentials.", "offer an alternative without: `security: [{}, …]`";
    SECURITY_ALTERNATIVE_ADDED "api-security-alternative-added" Safe Wire
        "There is a further way to be let in.", "nothing has to be done";
    SECURITY_REMOVED "api-security-removed" Breaking Wire
        "Consumers that are let in this way are refused.", "keep it as an alternative";
    SECURITY_DROPPED "api-security-dropped" Safe Wire
        "No credentials are asked for any more.", "nothing has to be done";
    SECURITY_SCOPE_ADDED "api-security-scope-added" Breaking Wire
        "Consumers whose tokens do not have the scope are refused.", "keep the old scopes as an alternative";
    SECURITY_SCOPE_REMOVED "api-security-scope-removed" Safe Wire
        "Fewer scopes are asked for.", "nothing has to be done";
    SCHEME_CHANGED "api-security-scheme-changed" Breaking Wire
        "Credentials have to be sent in another way.", "add a new scheme as an alternative";
    SCHEME_ADDRESS_CHANGED "api-security-address-changed" Warning Wire
        "Tokens come from another address.", "let the old address go on";
    SERVER_REMOVED "server-removed" Warning Wire
        "An address is not named any more.", "let the old address go on";

    WEBHOOK_ADDED "webhook-added" Safe Wire
        "Consumers are called only when they asked for it.", "nothing has to be done";
    WEBHOOK_REMOVED "webhook-removed" Breaking Wire
        "Consumers wait for a call that does not come.", "go on calling";
    WEBHOOK_PARAMETER_REMOVED "webhook-parameter-removed" Breaking Wire
        "Consumers that are called expect the value.", "go on sending it";
    WEBHOOK_OPTIONAL_PARAMETER_REMOVED "webhook-optional-parameter-removed" Warning Wire
        "Consumers that are called had to expect that it is not there, but may not have met that.", "go on sending it";
    WEBHOOK_PARAMETER_ADDED "webhook-parameter-added" Safe Wire
        "Consumers ignore what they do not know.", "nothing has to be done";
    WEBHOOK_BODY_REMOVED "webhook-body-removed" Breaking Wire
        "Consumers that are called expect it.", "go on sending it";
    WEBHOOK_BODY_ADDED "webhook-body-added" Safe Wire
        "Consumers ignore what they do not know.", "nothing has to be done";
    WEBHOOK_BODY_BECAME_OPTIONAL "webhook-body-became-optional" Breaking Wire
        "It may be missing now.", "go on sending it always";
    TOO_MANY "too-many-changes" Unknown Wire
        "The contracts differ in more places than are listed.", "compare steps in between";
    REFERENCE_LOST "reference-not-followed" Unknown Wire
        "A reference leads to something that is not in the files given, so what it says is not known.",
        "put the file where the reference says, or bundle the contract into one file";
}
