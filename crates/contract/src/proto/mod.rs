//! `.proto` files.

mod compare;
mod fields;
mod load;

use prost_reflect::DescriptorPool;

pub use compare::compare;
pub use load::{is_proto, read};

use crate::fault::Place;
use crate::report::OperationRef;

/// `.proto` files, compiled with what they import.
#[derive(Debug)]
pub struct Protos {
    pub pool: DescriptorPool,
    /// How the files are named to people, by how they are imported; those not named come with the compiler.
    pub names: std::collections::HashMap<String, String>,
}

impl Protos {
    /// Where something stands: its path is that of `google.protobuf.SourceCodeInfo`.
    pub fn place(&self, file: &prost_reflect::FileDescriptor, path: &[i32]) -> Option<Place> {
        let name = self.names.get(file.name())?;
        let info = file.file_descriptor_proto().source_code_info.as_ref()?;
        let span = &info.location.iter().find(|location| location.path == path)?.span;
        let number = |at: usize| u32::try_from(span.get(at).copied().unwrap_or(0)).unwrap_or(0) + 1;
        Some(Place { file: name.as_str().into(), line: number(0), column: number(1) })
    }

    /// The methods of all services that are not part of the compiler.
    pub fn methods(&self) -> impl Iterator<Item = prost_reflect::MethodDescriptor> + '_ {
        let services = self.pool.services().filter(|s| self.names.contains_key(s.parent_file().name()));
        services.flat_map(|service| service.methods().collect::<Vec<_>>())
    }
}

/// How callers name a method.
pub fn operation(method: &prost_reflect::MethodDescriptor) -> OperationRef {
    let key = format!("{}/{}", method.parent_service().full_name(), method.name());
    OperationRef { key, operation_id: None }
}

/// Whether something is announced to go.
pub fn is_deprecated(method: &prost_reflect::MethodDescriptor) -> bool {
    method.method_descriptor_proto().options.as_ref().is_some_and(|o| o.deprecated())
}
