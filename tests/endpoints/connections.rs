//! Connections that nobody with good intentions makes: they end, and the others don't notice.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{TICKETS, World, on_both_engines};

on_both_engines!(slow_senders_are_hung_up_on, a_flood_of_resets_ends_its_own_connection_only);

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.app().address).await.unwrap()
}

/// Twenty exchanges, one after the other, each within its time.
async fn others_are_served(world: &World) {
    for _ in 0..20 {
        let form = world.for_itself("summarizer", TICKETS);
        tokio::time::timeout(Duration::from_secs(3), world.post(&form)).await.expect("others waited").ok();
    }
}

/// What the server says before it hangs up; it must hang up within 30 seconds.
async fn last_words(mut stream: TcpStream) -> Vec<u8> {
    let mut words = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut words)).await;
    // A reset is an end too.
    let _ = end.expect("the connection was held for ever");
    words
}

async fn slow_senders_are_hung_up_on(world: &mut World) {
    let mut bodies = tokio::task::JoinSet::new();
    let mut headers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut body = connect(world).await;
        let head = "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\ngrant_type=";
        body.write_all(head.as_bytes()).await.unwrap();
        bodies.spawn(last_words(body));
        let mut header = connect(world).await;
        header.write_all(b"POST /oauth/token HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        headers.spawn(last_words(header));
    }
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut silent = connect(world).await;
        silent.write_all(beginning.as_bytes()).await.unwrap();
        headers.spawn(last_words(silent));
    }
    others_are_served(world).await;
    for words in bodies.join_all().await {
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(words.starts_with("HTTP/1.1 408 "), "{words}");
    }
    headers.join_all().await;
    others_are_served(world).await;
}

/// One HTTP/2 frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_HEADERS: u8 = 4;

/// Requests that are taken back at once, many thousand on one connection (CVE-2023-44487).
async fn a_flood_of_resets_ends_its_own_connection_only(world: &mut World) {
    // POST, http, the path and the authority as literals that aren't indexed (RFC 7541 appendix A, §6.2.2).
    let request = [&[0x83, 0x86, 0x04, 12][..], b"/oauth/token", &[0x01, 1], b"x"].concat();
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut reader, mut writer) = connect(world).await.into_split();
        let request = request.clone();
        floods.spawn(async move {
            let writing = tokio::spawn(async move {
                let mut sent = writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
                let mut batch = frame(SETTINGS, 0, 0, &[]);
                for number in 0..100_000_u32 {
                    let stream = 2 * number + 1;
                    batch.extend(frame(HEADERS, END_HEADERS, stream, &request));
                    batch.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                    if number % 100 == 0 && sent.is_ok() {
                        sent = writer.write_all(&batch).await;
                        batch.clear();
                    }
                    if sent.is_err() {
                        return number;
                    }
                }
                100_000
            });
            let mut words = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(30), reader.read_to_end(&mut words)).await;
            let _ = end.expect("the connection was held for ever");
            (words, writing.await.unwrap())
        });
    }
    others_are_served(world).await;
    for (words, sent) in floods.join_all().await {
        assert!(sent < 100_000, "the flood was taken to its end");
        let mut rest = words.as_slice();
        let mut kinds = Vec::new();
        while rest.len() >= 9 {
            let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            kinds.push(rest[3]);
            rest = rest.get(9 + length..).unwrap_or_default();
        }
        // It is told to go away, unless the reset of the connection overtook that.
        assert!(kinds.contains(&GOAWAY) || kinds.len() <= 2, "{kinds:?}");
    }
    others_are_served(world).await;
    assert_eq!(world.get("/healthz").await.status, 200);
}
