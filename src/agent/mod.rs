//! The agent's side of Taskpass: open a task by token exchange (RFC 8693) or for itself (RFC 6749 §4.4), renew its token
//! while it runs, and hand it back at the end (RFC 7009).
//!
//! ```no_run
//! # async fn example(person: taskpass::secret::Secret) -> Result<(), Box<dyn std::error::Error>> {
//! use taskpass::agent::{Client, ExchangeRequest, Identity, TaskRequest};
//! use taskpass::protocol::resource::ResourceUri;
//! use taskpass::protocol::token_type::TokenType;
//!
//! let identity = Identity::WorkloadApi("unix:///run/spire/agent.sock".into());
//! let client = Client::new("https://id.example.com", identity)?;
//! let task = TaskRequest::at(ResourceUri::parse("https://tickets.example.com/mcp")?);
//! let token = client.exchange(&ExchangeRequest::new(person, TokenType::IdToken, task)).await?;
//! let token = client.renew(&token).await?;
//! client.hand_back(&token).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Programs that start many tasks keep their tokens in a [`TokenCache`], which renews them ahead of their expiry and
//! makes one request where many callers want the same token.

mod cache;
mod client;
mod discovery;
mod error;
mod identity;
mod request;
mod token;
mod transport;

#[cfg(test)]
pub(crate) mod peer;
#[cfg(test)]
mod tests;

pub use cache::TokenCache;
pub use client::{Client, ClientBuilder};
pub use discovery::Endpoints;
pub use error::{Error, Refused};
pub use identity::{Identity, KeyFile};
pub use request::{ActorToken, ExchangeRequest, TaskRequest, TokenRequest};
pub use token::Token;
