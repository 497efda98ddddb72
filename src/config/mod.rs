//! Configuration: a flag, a `TASKPASS_…` variable and a member of the TOML file mean the same thing, in this order.

mod guard;
mod serve;

pub use guard::{Allowed, GuardArgs, GuardConfig, GuardConfigError, Rate, Stale};
pub use serve::{ConfigError, ServeArgs, ServeConfig};
