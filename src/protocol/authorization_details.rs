//! placeholder
use serde::{Deserialize, Serialize};
/// d
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuthorizationDetails(Vec<serde_json::Value>);
impl AuthorizationDetails {
    /// e
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
