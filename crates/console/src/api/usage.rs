//! Who calls which operation, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is called of a service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// For so many days back.
    pub days: u64,
    /// The operations of its contract, those that nobody calls too; after them what no operation fits, if there is any.
    pub operations: Vec<OperationUsage>,
    /// The routes of the gateway to it, those that nobody takes too.
    #[serde(default)]
    pub routes: Vec<RouteUsage>,
}

/// How often a route of the gateway is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteUsage {
    /// Methods, host and path, without what it does not ask for.
    pub route: String,
    /// Requests.
    pub requests: u64,
    /// Of these in an hour, on average since the first.
    pub per_hour: f64,
    /// The begin of the last hour in which there were any; absent where there were none.
    #[serde(default)]
    pub last_hour: Option<u64>,
}

/// What is called of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationUsage {
    /// As the contract names it; absent for requests that are not in the contract.
    #[serde(default)]
    pub operation: Option<String>,
    /// Who calls it.
    pub callers: Vec<CallerUsage>,
}

/// What one caller asks of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallerUsage {
    /// The service; absent for the gateway.
    #[serde(default)]
    pub caller: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Of these in an hour, on average since the first.
    pub per_hour: f64,
    /// Those with a status of 4xx.
    pub refused: u64,
    /// Those with a status of 5xx, or failed in the way of gRPC.
    pub failed: u64,
    /// Those that nobody waited for.
    pub unanswered: u64,
    /// The begin of the last hour in which there were any.
    pub last_hour: u64,
}
