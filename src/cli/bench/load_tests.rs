//! The load generator against servers that speak real HTTP.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;

fn request(number: usize) -> Request {
    let body = format!("number={number}");
    format!("POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
        .into()
}

fn load(address: SocketAddr, count: usize, order: Order) -> Load {
    let check: Check = Box::new(|body| if contains(body, b"ok") { Ok(()) } else { Err("isn't ok") });
    let requests = Arc::new((1..=count).map(request).collect());
    Load { address, connections: 8, requests, order, duration: None, operations: None, check }
}

/// Adds up the numbers it is sent; answers 400 to those that `refuse` picks.
async fn adding_server(refuse: fn(u64) -> bool) -> (SocketAddr, Arc<AtomicU64>) {
    let sum = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&sum);
    let add = move |body: String| async move {
        let number: u64 = body.strip_prefix("number=").unwrap().parse().unwrap();
        total.fetch_add(number, Ordering::SeqCst);
        if refuse(number) {
            (StatusCode::BAD_REQUEST, format!("{number} refused"))
        } else {
            // Longer than the buffer at first.
            (StatusCode::OK, format!("{}ok", "x".repeat(10_000)))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/add", post(add))).await });
    (address, sum)
}

/// Answers each connection's first bytes with `parts`, one write each, then closes it.
async fn raw_server(parts: &'static [&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    for part in parts {
                        stream.write_all(part).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn each_request_is_sent_once() {
    let (address, sum) = adding_server(|_| false).await;
    let measurement = drive(load(address, 500, Order::Once)).await.unwrap();
    assert_eq!((measurement.operations, measurement.failures), (500, 0));
    assert_eq!(measurement.latencies.len(), 500);
    assert_eq!(sum.load(Ordering::SeqCst), 500 * 501 / 2);
    measurement.without_failure("adding").unwrap();
}

#[tokio::test]
async fn random_requests_go_on_until_the_count_or_the_time_is_reached() {
    let (address, _) = adding_server(|_| false).await;
    let counted = Load { operations: Some(300), ..load(address, 5, Order::Random(7)) };
    assert_eq!(drive(counted).await.unwrap().operations, 300);
    let timed = Load { duration: Some(Duration::from_millis(50)), ..load(address, 5, Order::Random(7)) };
    let measurement = drive(timed).await.unwrap();
    assert!(measurement.operations > 0 && measurement.elapsed >= Duration::from_millis(50));
    let none = Load { duration: Some(Duration::ZERO), ..load(address, 5, Order::Once) };
    assert_eq!(drive(none).await.unwrap().operations, 0);
}

#[tokio::test]
async fn failures_are_counted_and_the_first_is_kept() {
    let (address, _) = adding_server(|number| number == 3).await;
    let measurement = drive(load(address, 20, Order::Once)).await.unwrap();
    assert_eq!((measurement.operations, measurement.failures), (19, 1));
    assert_eq!(measurement.latencies.len(), 19);
    let error = measurement.without_failure("adding").unwrap_err();
    assert_eq!(error.message, "adding: 1 failed, the first with HTTP 400: 3 refused");
    let strict = Load { check: Box::new(|_| Err("never suits")), ..load(address, 1, Order::Once) };
    let first = drive(strict).await.unwrap().first_failure.unwrap();
    assert!(first.starts_with("HTTP 200 that never suits: "), "{first}");
}

#[tokio::test]
async fn an_answer_may_come_in_pieces_and_close_its_connection() {
    let parts: &[&[u8]] =
        &[b"HTTP/1.1 200 OK\r\ncontent-", b"LENGTH: 4\r\nConnection: close\r\n\r", b"\n.o", b"k."];
    let measurement = drive(load(raw_server(parts).await, 12, Order::Once)).await.unwrap();
    assert_eq!((measurement.operations, measurement.first_failure), (12, None));
}

#[tokio::test]
async fn what_is_not_understood_is_a_failure() {
    let answers: [&'static [&'static [u8]]; 6] = [
        &[],
        &[b"HTTP/1.1 200 OK\r\n"],
        &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"],
        &[b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nok"],
        &[b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok"],
    ];
    for parts in answers {
        let measurement = drive(load(raw_server(parts).await, 10, Order::Once)).await.unwrap();
        assert_eq!((measurement.operations, measurement.failures), (0, 10));
        assert!(measurement.first_failure.unwrap().starts_with("a broken connection: "));
    }
}

#[tokio::test]
async fn nobody_listening_is_an_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(drive(load(free, 1, Order::Once)).await.is_err());
}
