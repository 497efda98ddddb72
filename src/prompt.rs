//! Connections whose beginning must come soon. An HTTP server that speaks two versions waits for the first bytes to tell
//! which one is spoken, and a stranger who sends none would be waited for without end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// RFC 9113 §3.4. What differs from it is HTTP/1, whose headers are timed by whoever reads them.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that fails unless it shows within a time which HTTP it speaks.
#[derive(Debug)]
pub struct Prompt<T> {
    inner: T,
    /// Until when, and how much of the preface has come; nothing once it is known.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<T> Prompt<T> {
    /// Waits at most `patience` for the beginning.
    pub fn new(inner: T, patience: Duration) -> Self {
        Self { inner, waiting: Some((Box::pin(tokio::time::sleep(patience)), 0)) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prompt<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(context, buffer);
        let Some((patience, come)) = &mut this.waiting else { return polled };
        if polled.is_pending() {
            return patience.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let (fresh, expected) = (&buffer.filled()[before..], &PREFACE[*come..]);
        if fresh.len() < expected.len() && expected.starts_with(fresh) {
            *come += fresh.len();
        } else {
            this.waiting = None;
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prompt<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
