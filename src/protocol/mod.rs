//! The words of the RFCs: parse and print, no I/O, no clock.

pub mod authorization_details;
pub mod claims;
pub mod error_code;
pub mod http_uri;
pub mod numeric_date;
pub mod params;
pub mod pkce;
pub mod redirect_uri;
pub mod resource;
pub mod scope;
pub mod spiffe_id;
pub mod strict_json;
pub mod token_type;
