//! What is on its way. Messages wait here for as long as it pleases, come in any order, twice, or never.

use super::log::Log;

/// Messages that can be under way at once.
const MOST: usize = 3;

/// One message. The server's own work on a request stands here too, since it waits the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    /// `POST /revocation/lease`.
    Request { nonce: u8, generation: u8, applied: u8 },
    /// The server has noted the request, and has yet to read the head.
    Noted { nonce: u8, generation: u8, applied: u8 },
    /// Planted: the server has read the head, and has yet to note the request.
    HeadRead { nonce: u8, applied: u8, log: Log },
    /// The lease: the log after `applied`.
    Lease { nonce: u8, applied: u8, log: Log },
    /// 410: the log that was asked for is no more, or is forgotten so far.
    Gone { generation: u8 },
    /// `GET /revocation/snapshot`, answered.
    Snapshot { log: Log },
    /// An event of the stream: the log after `prev`.
    Event { prev: u8, log: Log },
}

impl Message {
    /// The exchange that it belongs to.
    pub(crate) fn nonce(self) -> Option<u8> {
        match self {
            Self::Request { nonce, .. }
            | Self::Noted { nonce, .. }
            | Self::HeadRead { nonce, .. }
            | Self::Lease { nonce, .. } => Some(nonce),
            Self::Gone { .. } | Self::Snapshot { .. } | Self::Event { .. } => None,
        }
    }
}

/// Everything that is under way; in order, so that equal sets are equal states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    messages: [Option<Message>; MOST],
}

impl Network {
    /// Every message.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Message> {
        self.messages.iter().flatten().copied()
    }

    /// Whether `limit` messages are under way.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.iter().count() >= limit.min(MOST)
    }

    /// Puts a message on its way; one that is there already will come twice anyhow.
    pub(crate) fn send(&mut self, message: Message) {
        if !self.messages.contains(&Some(message))
            && let Some(free) = self.messages.iter_mut().find(|place| place.is_none())
        {
            *free = Some(message);
            self.messages.sort_unstable();
        }
    }

    /// Takes away what `gone` picks.
    pub(crate) fn drop_where(&mut self, gone: impl Fn(&Message) -> bool) {
        for place in &mut self.messages {
            place.take_if(|message| gone(message));
        }
        self.messages.sort_unstable();
    }
}
