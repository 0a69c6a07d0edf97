//! The rules about `.proto` files: what the binary and the JSON encoding need (protobuf.dev, "Updating a message type"
//! and "ProtoJSON Format"), as buf's category WIRE_JSON holds it, and what gRPC needs.

rules! {
    "Every rule about `.proto` files." proto
    METHOD_ADDED "rpc-added" Safe Wire
        "There is a new method.", "nothing has to be done";
    METHOD_REMOVED "rpc-removed" Breaking Wire
        "Whoever calls it is refused.", "keep it, and mark it as `deprecated`";
    METHOD_REMOVED_DEPRECATED "rpc-removed-with-deprecation" Warning Wire
        "It was deprecated, without a day from which it would be gone.", "make sure that nobody calls it";
    METHOD_DEPRECATED "rpc-deprecated" Safe Lifecycle
        "It is announced that it will go.", "nothing has to be done";
    SERVICE_REMOVED "service-removed" Breaking Wire
        "Whoever calls one of its methods is refused.", "keep it, and mark it as `deprecated`";
    REQUEST_TYPE "rpc-request-type-changed" Breaking Wire
        "The method takes another message.", "add a new method for the new message";
    RESPONSE_TYPE "rpc-response-type-changed" Breaking Wire
        "The method returns another message.", "add a new method for the new message";
    CLIENT_STREAMING "rpc-client-streaming-changed" Breaking Wire
        "A stream and a single message are not read the same way.", "add a new method";
    SERVER_STREAMING "rpc-server-streaming-changed" Breaking Wire
        "A stream and a single message are not read the same way.", "add a new method";
    IDEMPOTENCY "rpc-idempotency-level-changed" Breaking Wire
        "Callers repeat calls by what they were told.", "keep the `idempotency_level`";
    PACKAGE "package-changed" Breaking Wire
        "The package is part of the name of every service, message and enum.", "add a new file with the new package beside the old one";
    FIELD_ADDED "field-added" Safe Wire
        "Readers keep or ignore fields that they do not know.", "nothing has to be done";
    FIELD_REMOVED "field-removed" Breaking Wire
        "Its number or its name could be used again for something else.", "write `reserved` with its number and with its name";
    FIELD_REMOVED_RESERVED "field-removed-and-reserved" Safe Wire
        "Its number and its name cannot be used again.", "nothing has to be done";
    FIELD_NAME "field-name-changed" Breaking Wire
        "The name is the key in JSON.", "keep the name, or give the field `json_name` and a new number";
    FIELD_JSON_NAME "field-json-name-changed" Breaking Wire
        "It is the key in JSON.", "keep `json_name`";
    FIELD_TYPE "field-type-changed" Breaking Wire
        "Values are encoded in another way, in the binary encoding or in JSON.", "add a new field with a new number";
    FIELD_TYPE_COMPATIBLE "field-type-changed-compatibly" Warning Wire
        "Both types are encoded in the same way, but not every value fits.", "keep the type";
    FIELD_CARDINALITY "field-cardinality-changed" Breaking Wire
        "One value, a list and a map are encoded in other ways.", "add a new field with a new number";
    FIELD_ONEOF "field-oneof-changed" Breaking Wire
        "Setting one field of a `oneof` clears the others.", "keep the field where it is";
    FIELD_DEFAULT "field-default-changed" Breaking Wire
        "A field that is not there means another value.", "keep the default";
    REQUIRED_FIELDS "required-fields-changed" Breaking Wire
        "A message without a required field cannot be read.", "use `optional`";
    ENUM_VALUE_ADDED "proto-enum-value-added" Safe Wire
        "Readers keep numbers that they do not know.", "nothing has to be done";
    ENUM_VALUE_REMOVED "proto-enum-value-removed" Breaking Wire
        "Its number or its name could be used again for something else.", "write `reserved` with its number and with its name";
    ENUM_VALUE_REMOVED_RESERVED "proto-enum-value-removed-and-reserved" Safe Wire
        "Its number and its name cannot be used again.", "nothing has to be done";
    ENUM_VALUE_NAME "proto-enum-value-name-changed" Breaking Wire
        "The name is the value in JSON.", "keep the name; an alias (`allow_alias`) may be added";
    RESERVED_REMOVED "reserved-removed" Breaking Wire
        "What was reserved could be used again for something else.", "keep it reserved";
    JSON_FORMAT "json-format-changed" Breaking Wire
        "JSON was supported, and is only tried now (proto2, or `json_format`).", "keep the syntax";
}
