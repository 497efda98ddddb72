//! The pages that people see: plain data in, HTML out, without a script. What asks for a page and where it goes is for the http floor.
//!
//! A page is a view model (`pages/`) and a template (`templates/`) of the same name. All values that templates print go
//! through one escaper (`inert.rs`); `words/` puts authorization details into words; `tests/samples.rs` has every page in
//! every state, which a test renders and looks through. `TASKPASS_UI_SAMPLES=/tmp/pages cargo test --lib ui::` writes them out.
//!
//! # What http has to add
//!
//! - The policy `default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors
//!   'none'`. Browsers check `form-action` again when a form's answer redirects: the sign-in page needs the origins of its
//!   identity providers there, and the consent page that of the redirect URI.
//! - `Cache-Control: no-store`, and the files of [`asset`] at `{base}/assets/{name}`.
//!
//! # What the forms send
//!
//! All are `POST`, and all have the hidden field `csrf`.
//!
//! | to | fields |
//! |---|---|
//! | `{base}/sign-in` | `request` if one waits; and one of `identity_provider` (its id), `login_hint` (an e-mail address), `subject` (a person of the registry, in development) |
//! | `{base}/consent` | `request`, `decision` (`allow` or `deny`), `expiry` (the value of one of the choices, if there are any) |
//! | `{base}/account/withdraw` | `consent` or `task` (its id) |
//! | `{base}/sign-out` | `request` if one waits |

mod assets;
mod inert;
mod moment;
pub mod pages;
#[cfg(test)]
mod tests;
pub mod words;

pub use assets::asset;
#[cfg(test)]
pub(crate) use tests::samples::samples;
