//! The guard in front of a server, in this process: what passes, what doesn't, and how it says so.

mod dry_run;
mod evidence;
mod hostile;
mod lists;
mod local;
mod messages;
mod pins;
mod place;
mod sdk;
mod server;
mod sessions;
mod step_up;
mod streams;
mod tls;
mod tokens;
