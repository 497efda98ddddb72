//! Configuration: a flag, a `TASKPASS_…` variable and a member of the TOML file mean the same thing, in this order.

mod serve;

pub use serve::{ConfigError, ServeArgs, ServeConfig};
