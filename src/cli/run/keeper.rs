//! Keeps the task's token fresh: renews it ahead of its expiry until the task ends, one way or the other.

use std::time::Duration;

use tokio::sync::watch;

use super::token_file::TokenFile;
use crate::agent::{Client, Error, Token};
use crate::cli::moment;

/// What there is for the command at the moment.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// A token.
    Token(Box<Token>),
    /// The token ran out while the server couldn't be reached. A task can only be renewed with a living token.
    Expired,
    /// The task is over.
    Over(Ending),
}

/// Why a task is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server refused to renew.
    Revoked,
    /// The deadline has passed.
    Deadline,
}

impl Ending {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "the task was taken back",
            Self::Deadline => "the task's deadline has passed",
        }
    }
}

/// The longest sleep. Timers stand still while a machine is suspended, tokens don't, so the clock is looked at often.
const LOOK: Duration = Duration::from_secs(5);

/// How long to leave the server alone after a renewal that failed for the moment.
const REST: Duration = Duration::from_secs(2);

/// Renews, writes the file and publishes until there is no token any more.
pub(super) async fn keep(client: Client, file: &TokenFile, publish: &watch::Sender<Held>, mut token: Token) {
    let mut complained = false;
    loop {
        let now = client.now();
        if !token.is_alive(now) {
            let over = token.task_seconds_left(now).is_some_and(|left| left <= 1);
            end(file, publish, if over { Held::Over(Ending::Deadline) } else { Held::Expired });
            return;
        }
        match token.renew_in(now).map(u64::try_from) {
            Some(Ok(0)) => {}
            Some(Ok(wait)) => {
                tokio::time::sleep(LOOK.min(Duration::from_secs(wait))).await;
                continue;
            }
            // The last token before the deadline: nothing to do but to see it end.
            Some(Err(_)) | None => {
                let left = u64::try_from(token.seconds_left(now)).unwrap_or(0).max(1);
                tokio::time::sleep(LOOK.min(Duration::from_secs(left))).await;
                continue;
            }
        }
        match client.renew(&token).await {
            Ok(renewed) => {
                token = renewed;
                complained = false;
                if let Err(error) = file.write(&token.access_token) {
                    eprintln!("taskpass: the token file can't be written: {error}");
                }
                publish.send_replace(Held::Token(Box::new(token.clone())));
            }
            Err(error) if error.is_temporary() => {
                if !complained {
                    let until = moment::utc(token.expires_at);
                    eprintln!(
                        "taskpass: the token can't be renewed for now, it is good until {until}: {error}"
                    );
                }
                complained = true;
                tokio::time::sleep(rest(&error)).await;
            }
            Err(error) => {
                let late = token.task_seconds_left(client.now()).is_some_and(|left| left <= 0);
                let ending = if late { Ending::Deadline } else { Ending::Revoked };
                eprintln!("taskpass: {}: {error}", ending.as_str());
                end(file, publish, Held::Over(ending));
                return;
            }
        }
    }
}

fn rest(error: &Error) -> Duration {
    match error {
        Error::Refused(refused) => refused.retry_after.unwrap_or(REST).clamp(REST, LOOK),
        _ => REST,
    }
}

fn end(file: &TokenFile, publish: &watch::Sender<Held>, held: Held) {
    if let Err(error) = file.remove() {
        eprintln!("taskpass: the token file can't be removed: {error}");
    }
    match &held {
        Held::Expired => {
            eprintln!("taskpass: the token has expired without a renewal; the task can't be continued");
        }
        Held::Over(Ending::Deadline) => eprintln!("taskpass: {}", Ending::Deadline.as_str()),
        Held::Over(Ending::Revoked) | Held::Token(_) => {}
    }
    publish.send_replace(held);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::peer::{Peer, Reply, task};
    use serde_json::json;

    struct Kept {
        file: TokenFile,
        publish: watch::Sender<Held>,
        _base: tempfile::TempDir,
    }

    /// Keeps a token of a peer until it ends by itself.
    async fn kept(peer: &Peer) -> Kept {
        let base = tempfile::tempdir().unwrap();
        let file = TokenFile::in_new_folder(base.path()).unwrap();
        let client = peer.client();
        let token = client.client_credentials(&task()).await.unwrap();
        file.write(&token.access_token).unwrap();
        let (publish, _) = watch::channel(Held::Token(Box::new(token.clone())));
        let within = Duration::from_secs(20);
        tokio::time::timeout(within, keep(client, &file, &publish, token)).await.unwrap();
        Kept { file, publish, _base: base }
    }

    #[tokio::test]
    async fn renews_until_the_server_refuses_then_nothing_is_left() {
        let peer = Peer::start().await;
        peer.with(|shared| shared.expires_in = 2);
        let revoke = async {
            while peer.requests() < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            peer.with(|shared| shared.over.insert("tsk_1".into()));
        };
        let (kept, ()) = tokio::join!(kept(&peer), revoke);
        assert!(matches!(*kept.publish.borrow(), Held::Over(Ending::Revoked)));
        assert!(!kept.file.path().exists());
        peer.with(|shared| {
            assert!(shared.requests.iter().skip(1).all(|form| form.contains_key("subject_token")));
        });
    }

    #[tokio::test]
    async fn ends_at_the_deadline_without_asking_beyond_it() {
        let peer = Peer::start().await;
        let deadline = peer.clock.now().0 + 2;
        peer.with(|shared| (shared.expires_in, shared.task_deadline) = (2, Some(deadline)));
        let kept = kept(&peer).await;
        assert!(matches!(*kept.publish.borrow(), Held::Over(Ending::Deadline)));
        assert_eq!((peer.requests(), kept.file.path().exists()), (1, false));
    }

    #[tokio::test]
    async fn an_outage_that_outlasts_the_token_ends_it_as_expired() {
        let peer = Peer::start().await;
        peer.with(|shared| {
            shared.expires_in = 3;
            shared.script.push_back(Reply(
                200,
                vec![],
                json!({
                "access_token": "tok_1", "token_type": "Bearer", "expires_in": 3, "task": "tsk_1"}),
            ));
            for _ in 0..10 {
                shared.script.push_back(Reply(500, vec![], json!({"error": "server_error"})));
            }
        });
        let kept = kept(&peer).await;
        assert!(matches!(*kept.publish.borrow(), Held::Expired));
        assert!(!kept.file.path().exists());
        assert!(peer.requests() <= 4, "it doesn't hammer");
    }
}
