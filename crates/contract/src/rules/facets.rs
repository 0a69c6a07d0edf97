//! The rules about values.

use super::Severity::{Breaking, Warning};
use super::{Effect, Facet};

/// The rules of one bound.
#[derive(Debug)]
pub struct BoundFacets {
    /// There was none.
    pub set: Facet,
    /// There is none any more.
    pub unset: Facet,
    /// It is higher.
    pub increased: Facet,
    /// It is lower.
    pub decreased: Facet,
}

const BOUND_FIX: &str =
    "keep the old bound, or introduce the new one in a new operation or a new version of the path";

macro_rules! bounds {
    ($($name:literal $upper:literal;)*) => {
        static BOUND_FACETS: [BoundFacets; crate::schema::BOUND_COUNT] = [$(bound($name, $upper, [
            concat!($name, "-set"), concat!($name, "-unset"), concat!($name, "-increased"), concat!($name, "-decreased"),
        ])),*];
    };
}

const fn bound(_: &str, upper: bool, names: [&'static str; 4]) -> BoundFacets {
    const fn one(name: &'static str, narrows: bool, why: &'static str) -> Facet {
        let effect = if narrows { Effect::Narrows } else { Effect::Widens };
        Facet { name, effect, sent: None, received: None, why, fix: BOUND_FIX }
    }
    BoundFacets {
        set: one(names[0], true, "There was no such bound: values beyond it were valid."),
        unset: one(names[1], false, "The bound is gone: values beyond it are valid now."),
        increased: one(names[2], !upper, "The bound is higher than it was."),
        decreased: one(names[3], upper, "The bound is lower than it was."),
    }
}

// In the order of `crate::schema::Bound`.
bounds! {
    "max" true;
    "exclusive-max" true;
    "min" false;
    "exclusive-min" false;
    "max-length" true;
    "min-length" false;
    "max-items" true;
    "min-items" false;
    "max-properties" true;
    "min-properties" false;
    "max-contains" true;
    "min-contains" false;
}

/// The rules of all bounds, by [`crate::schema::Bound`].
pub fn bound_facets() -> &'static [BoundFacets; crate::schema::BOUND_COUNT] {
    &BOUND_FACETS
}

macro_rules! facets {
    ($($const:ident $name:literal $effect:ident $([$($side:ident $severity:ident),*])? $why:literal, $fix:literal;)*) => {
        /// Every rule about a value but those of bounds.
        pub mod facet {
            use super::*;
            $(#[doc = $why] pub static $const: Facet = Facet {
                $($($side: Some($severity),)*)?
                ..Facet { name: $name, effect: Effect::$effect, sent: None, received: None, why: $why, fix: $fix }
            };)*
            /// All of them.
            pub static ALL: &[&Facet] = &[$(&$const),*];
        }
    };
}

facets! {
    TYPE_CHANGED "type-changed" Incomparable
        "Values of the old type are not valid any more.",
        "add a new property or parameter with the new type and deprecate the old one";
    TYPE_GENERALIZED "type-generalized" Widens
        "Values of more types are valid, the old ones among them.",
        "keep the type of what consumers receive; put the new values into a new property";
    TYPE_SPECIALIZED "type-specialized" Narrows
        "Values of fewer types are valid.",
        "go on accepting the old types";
    TYPES_WIDENED "list-of-types-widened" Widens
        "The list of types has become longer.",
        "keep the types of what consumers receive; put the new values into a new property";
    TYPES_NARROWED "list-of-types-narrowed" Narrows
        "The list of types has become shorter.",
        "go on accepting the old types";
    BECAME_NULLABLE "became-nullable" Widens
        "`null` is valid now. All spellings of it count as the same: `nullable`, `null` in a list of types, a branch of `null`.",
        "send a value or leave the property out, as before";
    BECAME_NOT_NULLABLE "became-not-nullable" Narrows
        "`null` is not valid any more.",
        "go on accepting `null`, and treat it as if the value were not there";
    FORMAT_CHANGED "format-changed" Incomparable
        "The format is another one, and neither contains the other.",
        "add a new property or parameter with the new format and deprecate the old one";
    FORMAT_GENERALIZED "format-generalized" Widens
        "The format allows more, or is gone. `int32` is part of `int64`, `float` of `double`, `date` of `date-time`.",
        "keep the format of what consumers receive";
    FORMAT_SPECIALIZED "format-specialized" Narrows
        "The format allows less, or there was none.",
        "go on accepting what was valid";
    BECAME_ENUM "became-enum" Narrows
        "Only listed values are valid now.",
        "go on accepting every value";
    BECAME_NOT_ENUM "became-not-enum" Widens [received Warning]
        "The list of values is gone. Received values have not been guaranteed to stay the listed ones by many contracts, so it is a \
         warning there, like a new value.",
        "tell consumers to handle values that they do not know";
    ENUM_VALUE_ADDED "enum-value-added" Widens [received Warning]
        "A value is listed that was not. For what consumers receive it is a warning and not breaking: lists of values grow, \
         and consumers are expected to handle a value that they do not know. `x-extensible-enum` says so.",
        "tell consumers to handle values that they do not know";
    ENUM_VALUE_REMOVED "enum-value-removed" Narrows
        "A value is not listed any more.",
        "go on accepting the value; mark it as deprecated in the description";
    CONST_ADDED "const-added" Narrows
        "Only one value is valid now.",
        "go on accepting every value";
    CONST_REMOVED "const-removed" Widens
        "The value is not fixed any more.",
        "go on sending the fixed value, or put the new values into a new property";
    CONST_CHANGED "const-changed" Incomparable
        "Another value is the only valid one.",
        "list both values with `enum`, and send the old one to old consumers";
    EXTENSIBLE_VALUE_REMOVED "x-extensible-enum-value-removed" Narrows
        "A value of an open list is not understood any more.",
        "go on accepting the value";
    EXTENSIBLE_VALUE_ADDED "x-extensible-enum-value-added" Nothing
        "An open list has a new value: consumers are told to expect that.",
        "nothing has to be done";
    PATTERN_ADDED "pattern-added" Narrows
        "Values have to match a pattern now.",
        "go on accepting values that do not match";
    PATTERN_REMOVED "pattern-removed" Widens
        "Values do not have to match any more.",
        "go on sending values that match";
    PATTERN_CHANGED "pattern-changed" Undecided
        "The pattern is another one; whether it matches more or less is not decided.",
        "keep the pattern, or check that all values in use match both, and force it";
    MULTIPLE_OF_SET "multiple-of-set" Narrows
        "Values have to be multiples of a number now.",
        "go on accepting the other values";
    MULTIPLE_OF_UNSET "multiple-of-unset" Widens
        "Values do not have to be multiples any more.",
        "go on sending multiples";
    MULTIPLE_OF_GENERALIZED "multiple-of-generalized" Widens
        "The old number is a multiple of the new one, so the old values are valid.",
        "go on sending multiples of the old number";
    MULTIPLE_OF_SPECIALIZED "multiple-of-specialized" Narrows
        "The new number is a multiple of the old one, so not all old values are valid.",
        "go on accepting multiples of the old number";
    MULTIPLE_OF_CHANGED "multiple-of-changed" Incomparable
        "Values have to be multiples of another number.",
        "go on accepting multiples of the old number";
    UNIQUE_ITEMS_SET "unique-items-set" Narrows
        "Lists with an item twice were valid.",
        "go on accepting repeated items, and drop them";
    UNIQUE_ITEMS_UNSET "unique-items-unset" Widens
        "Lists may have an item twice now.",
        "go on sending each item once";
    NEW_REQUIRED_PROPERTY "new-required-property" Narrows
        "Whoever does not know the property does not send it. A default does not change that: the contract asks for the property.",
        "make it optional, with a default on the service's side";
    NEW_OPTIONAL_PROPERTY "new-optional-property" Nothing
        "Consumers need not send it, and ignore what they do not know.",
        "nothing has to be done";
    PROPERTY_ADDED_TO_CLOSED "property-added-to-closed-object" Widens [received Warning]
        "The object allows no other properties, so a consumer that checks this meets one that it was told cannot be there.",
        "do not forbid additional properties in what consumers receive";
    PROPERTY_REMOVED "property-removed" Nothing [sent Warning]
        "Consumers that still send it are not told what happens to it.",
        "mark the property as deprecated and go on accepting it";
    PROPERTY_REMOVED_FROM_CLOSED "property-removed-from-closed-object" Narrows
        "The object allows no other properties: whoever still sends it is refused.",
        "mark the property as deprecated and go on accepting it";
    REQUIRED_PROPERTY_REMOVED "required-property-removed" Widens
        "The property was always there, and consumers rely on it.",
        "go on sending the property; mark it as deprecated";
    OPTIONAL_PROPERTY_REMOVED "optional-property-removed" Nothing [received Warning]
        "Consumers had to expect that it is not there, but may not have met that.",
        "mark the property as deprecated first";
    PROPERTY_BECAME_REQUIRED "became-required" Narrows
        "Whoever leaves the property out is refused now.",
        "keep it optional, with a default on the service's side";
    PROPERTY_BECAME_OPTIONAL "became-optional" Widens
        "The property may be missing now.",
        "go on sending it always, and keep it in `required`";
    UNKNOWN_PROPERTY_REQUIRED "undescribed-property-required" Nothing [sent Warning]
        "`required` names a property that is not described; often a mistake.",
        "describe the property, or take it out of `required`";
    BECAME_READ_ONLY "became-read-only" Nothing
        "What is sent of it is ignored.",
        "nothing has to be done";
    BECAME_NOT_READ_ONLY "became-not-read-only" Nothing
        "It may be sent now.",
        "nothing has to be done";
    REQUIRED_NO_LONGER_READ_ONLY "required-became-not-read-only" Narrows
        "It is required, and counted only for what the service sends. Now consumers have to send it.",
        "take it out of `required` for what consumers send";
    BECAME_WRITE_ONLY "became-write-only" Nothing [received Warning]
        "It is not sent back any more.",
        "go on sending it until consumers do without";
    BECAME_NOT_WRITE_ONLY "became-not-write-only" Nothing [received Warning]
        "It is sent back now.",
        "nothing has to be done for consumers that ignore what they do not know";
    ADDITIONAL_FORBIDDEN "additional-properties-forbidden" Narrows
        "Properties that are not listed are refused now.",
        "go on accepting other properties, and ignore them";
    ADDITIONAL_ALLOWED "additional-properties-allowed" Widens [received Warning]
        "Properties that are not listed may be there now; consumers are expected to ignore what they do not know.",
        "nothing has to be done for consumers that ignore what they do not know";
    ADDITIONAL_CONSTRAINED "additional-properties-constrained" Narrows
        "Properties that are not listed have to be of a kind now.",
        "go on accepting other values";
    ADDITIONAL_UNCONSTRAINED "additional-properties-unconstrained" Widens
        "Properties that are not listed may be of any kind now.",
        "go on sending values of the old kind";
    PATTERN_PROPERTY_ADDED "pattern-property-added" Narrows
        "Properties whose names match have to be of a kind now.",
        "go on accepting other values";
    PATTERN_PROPERTY_REMOVED "pattern-property-removed" Widens
        "Properties whose names match may be of any kind now.",
        "go on sending values of the old kind";
    PROPERTY_NAMES_ADDED "property-names-added" Narrows
        "Names of properties are constrained now.",
        "go on accepting other names";
    PROPERTY_NAMES_REMOVED "property-names-removed" Widens
        "Names of properties are not constrained any more.",
        "go on sending names of the old kind";
    DEPENDENT_REQUIRED_ADDED "dependent-required-added" Narrows
        "With one property, others are required now.",
        "go on accepting one without the others";
    DEPENDENT_REQUIRED_REMOVED "dependent-required-removed" Widens
        "With one property, others may be missing now.",
        "go on sending them together";
    DEPENDENT_REQUIRED_CHANGED "dependent-required-changed" Incomparable
        "With one property, other ones are required.",
        "go on accepting the old combinations";
    DEPENDENT_SCHEMA_ADDED "dependent-schema-added" Narrows
        "With one property, more has to be true now.",
        "go on accepting the old combinations";
    DEPENDENT_SCHEMA_REMOVED "dependent-schema-removed" Widens
        "With one property, less has to be true now.",
        "go on sending what kept to it";
    ITEMS_ADDED "items-added" Narrows
        "Items have to be of a kind now.",
        "go on accepting other items";
    ITEMS_REMOVED "items-removed" Widens
        "Items may be of any kind now.",
        "go on sending items of the old kind";
    ITEMS_FORBIDDEN "items-forbidden" Narrows
        "There may be no further items now.",
        "go on accepting further items";
    ITEMS_ALLOWED "items-allowed" Widens
        "There may be further items now.",
        "go on sending lists of the old length";
    CONTAINS_ADDED "contains-added" Narrows
        "Lists have to contain an item of a kind now.",
        "go on accepting other lists";
    CONTAINS_REMOVED "contains-removed" Widens
        "Lists need not contain an item of the kind any more.",
        "go on sending lists that do";
    UNEVALUATED_ITEMS_ADDED "unevaluated-items-added" Narrows
        "Further items are constrained now.",
        "go on accepting other items";
    UNEVALUATED_ITEMS_REMOVED "unevaluated-items-removed" Widens
        "Further items are not constrained any more.",
        "go on sending items of the old kind";
    UNEVALUATED_PROPERTIES_ADDED "unevaluated-properties-added" Narrows
        "Further properties are constrained now.",
        "go on accepting other properties";
    UNEVALUATED_PROPERTIES_REMOVED "unevaluated-properties-removed" Widens
        "Further properties are not constrained any more.",
        "go on sending properties of the old kind";
    ONE_OF_ADDED "one-of-added" Widens
        "There is a further alternative.",
        "send the new alternative only to consumers that ask for it, for example in a new version";
    ONE_OF_REMOVED "one-of-removed" Narrows
        "An alternative is gone.",
        "go on accepting it";
    ANY_OF_ADDED "any-of-added" Widens
        "There is a further alternative.",
        "send the new alternative only to consumers that ask for it, for example in a new version";
    ANY_OF_REMOVED "any-of-removed" Narrows
        "An alternative is gone.",
        "go on accepting it";
    UNION_ADDED "union-added" Narrows
        "Values have to match one of several alternatives now, besides what they had to before.",
        "go on accepting values that match none of them";
    UNION_REMOVED "union-removed" Widens
        "Values do not have to match one of the alternatives any more.",
        "go on sending values that match one of them";
    UNION_WIDENED "generalized-to-union" Widens
        "The old schema is one of several alternatives now.",
        "send the new alternatives only to consumers that ask for them";
    UNION_NARROWED "specialized-from-union" Narrows
        "One of several alternatives, or a part of them, is left.",
        "go on accepting the others";
    UNION_INCOMPARABLE "wrapped-in-one-of" Incomparable
        "The alternatives are not the schema that was there, and not a part of it. With `oneOf` a value that two of them \
         allow is not valid.",
        "make the old schema one of the alternatives, told apart from the others by a required property with a fixed value";
    UNIONS_CHANGED "unions-changed" Undecided
        "There are several unions beside each other, and not the same number of them as before.",
        "combine them into one, and look at the difference by hand";
    UNION_KIND_CHANGED "union-kind-changed" Undecided
        "`oneOf` and `anyOf` allow the same only where no value matches two alternatives.",
        "keep the kind of the union";
    DISCRIMINATOR_ADDED "discriminator-added" Nothing [sent Warning, received Warning]
        "A property tells the alternatives apart. The same values are valid; generated code reads them in another way.",
        "make the property required in every alternative first";
    DISCRIMINATOR_REMOVED "discriminator-removed" Nothing [sent Warning, received Warning]
        "No property tells the alternatives apart any more. The same values are valid; generated code reads them in another way.",
        "keep the discriminator";
    DISCRIMINATOR_PROPERTY_CHANGED "discriminator-property-name-changed" Undecided
        "Another property tells the alternatives apart. The same values are valid; which alternative a reader chooses is not decided.",
        "keep the property, and add the new one beside it";
    DISCRIMINATOR_MAPPING_ADDED "discriminator-mapping-added" Nothing [received Warning]
        "A further value tells of an alternative.",
        "nothing has to be done";
    DISCRIMINATOR_MAPPING_REMOVED "discriminator-mapping-deleted" Undecided
        "A value does not tell of an alternative any more; which one a reader chooses for it is not decided.",
        "keep the value in the mapping";
    DISCRIMINATOR_MAPPING_CHANGED "discriminator-mapping-changed" Undecided
        "A value tells of another alternative.",
        "use a new value for the new alternative";
    NOT_ADDED "not-added" Narrows
        "Some values are ruled out now.",
        "go on accepting them";
    NOT_REMOVED "not-removed" Widens
        "Some values are not ruled out any more.",
        "go on sending others only";
    NOT_CHANGED "not-changed" Undecided
        "Other values are ruled out.",
        "look at the difference by hand";
    IF_ADDED "if-added" Narrows
        "More has to be true on a condition now.",
        "go on accepting what does not meet it";
    IF_REMOVED "if-removed" Widens
        "What had to be true on a condition need not be any more.",
        "go on sending what meets it";
    IF_CHANGED "if-changed" Undecided
        "The condition is another one; whether it is met more often or less is not decided.",
        "look at the difference by hand";
    THEN_ADDED "then-added" Narrows
        "More has to be true when a condition is met.",
        "go on accepting what does not meet it";
    THEN_REMOVED "then-removed" Widens
        "Less has to be true when a condition is met.",
        "go on sending what meets it";
    ELSE_ADDED "else-added" Narrows
        "More has to be true when a condition is not met.",
        "go on accepting what does not meet it";
    ELSE_REMOVED "else-removed" Widens
        "Less has to be true when a condition is not met.",
        "go on sending what meets it";
    CONTENT_SCHEMA_ADDED "content-schema-added" Narrows
        "What is inside a text is constrained now.",
        "go on accepting other texts";
    CONTENT_SCHEMA_REMOVED "content-schema-removed" Widens
        "What is inside a text is not constrained any more.",
        "go on sending texts of the old kind";
    CONTENT_MEDIA_TYPE_CHANGED "content-media-type-changed" Incomparable
        "What is inside a text is of another media type.",
        "add a new property for the new media type";
    CONTENT_ENCODING_CHANGED "content-encoding-changed" Incomparable
        "What is inside a text is encoded in another way.",
        "add a new property for the new encoding";
    DEFAULT_CHANGED "default-value-changed" Nothing [sent Warning]
        "Whoever leaves it out gets another behaviour, though every request is as valid as before.",
        "keep the default";
    DEPRECATED "deprecated" Nothing
        "It is announced that it will go.",
        "nothing has to be done";
    REACTIVATED "reactivated" Nothing
        "It is not announced any more that it will go.",
        "nothing has to be done";
    STABILITY_DECREASED "stability-decreased" Nothing [sent Breaking, received Breaking]
        "What was promised to stay is not any more (`x-stability-level`).",
        "keep the level";
    XML_CHANGED "xml-changed" Incomparable
        "It is written in another way in XML.",
        "keep the names and the namespaces";
    NOTHING_ALLOWED "forbidden" Narrows
        "No value is valid any more (`false`).",
        "go on accepting values, and ignore them";
    SOMETHING_ALLOWED "not-forbidden" Widens
        "There may be a value now.",
        "go on sending none";
    LOST "reference-not-followed" Undecided
        "A reference leads to something that is not in the files given, so what it says is not known.",
        "put the file where the reference says, or bundle the contract into one file";
    NOT_LOOKED_AT "too-large-to-compare" Undecided
        "The schemas combine to more than is compared.",
        "split the contract";
}
