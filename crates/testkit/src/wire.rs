//! HTTP/1.1 by hand: what goes over the socket is exactly what the test wrote.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; 0 when the connection was closed without an answer.
    pub status: u16,
    /// The head, as text.
    pub head: String,
    /// The body, as text.
    pub body: String,
}

impl Answer {
    /// A header's value, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }
}

/// A connection that can be asked again and again.
pub struct Connection {
    stream: TcpStream,
    /// What was read beyond the last answer.
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends bytes; an error means the other side has closed, which the next read shows too.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads one answer by its `Content-Length`. Status 0 when the connection ends first.
    pub async fn answer(&mut self) -> Answer {
        let mut closed = false;
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
                let mut answer = Answer { status: 0, head, body: String::new() };
                answer.status =
                    answer.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                let length =
                    answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
                let whole = end + 4 + length;
                if self.read.len() >= whole || closed {
                    let rest = self.read.split_off(whole.min(self.read.len()));
                    answer.body = String::from_utf8_lossy(&self.read[end + 4..]).into_owned();
                    self.read = rest;
                    return answer;
                }
            } else if closed {
                return Answer { status: 0, head: String::new(), body: String::new() };
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => closed = true,
                Ok(count) => self.read.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// Waits until the other side closes.
    pub async fn closed(&mut self) {
        let mut rest = [0; 4096];
        while matches!(self.stream.read(&mut rest).await, Ok(count) if count > 0) {}
    }
}

/// One request over a connection of its own.
pub async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(request).await;
    connection.answer().await
}

/// Asks for credentials as an SDK does, over a connection of its own.
pub async fn ask_for_credentials(address: SocketAddr, token: &str) -> Answer {
    ask(address, credentials_request(address, token).as_bytes()).await
}

/// The request of an SDK.
pub fn credentials_request(address: SocketAddr, token: &str) -> String {
    format!(
        "GET /v1/credentials HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\nAccept: application/json\r\n\r\n"
    )
}
