//! A request's body: read as a whole, or taken off the connection unread.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::refusal::Refusal;

/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer waits for a body that isn't wanted, and how large that may be for its connection to be kept.
const UNWANTED_PATIENCE: Duration = Duration::from_millis(250);
const UNWANTED: usize = 64 * 1024;

/// Takes a body that isn't wanted off the connection. Many clients write head and body apart; if the answer overtakes the body, the
/// connection is closed under a client that is about to use it again, with the token that it has just been sent for.
pub(super) async fn drop_on_arrival(body: Incoming) {
    let _ = tokio::time::timeout(UNWANTED_PATIENCE, Limited::new(body, UNWANTED).collect()).await;
}

/// The whole body, of at most so many bytes.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let whole = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, limit).collect());
    match whole.await {
        Err(_) => Err(Refusal::BodyTooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) => Err(Refusal::BodyBroken),
    }
}
