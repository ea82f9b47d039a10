//! HTTP/1.1 as cheaply as a load generator can speak it: requests built beforehand, answers read by `Content-Length`.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::open_loop::Connections;

const BUFFER: usize = 16 * 1024;
/// An answer that is larger is a fault.
const LONGEST: usize = 1024 * 1024;

/// The request of a pod.
pub(crate) fn credentials_request(address: SocketAddr, token: &str, connections: Connections) -> Vec<u8> {
    let close = match connections {
        Connections::KeptAlive => "",
        Connections::NewEach => "Connection: close\r\n",
    };
    format!("GET /v1/credentials HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\n{close}\r\n")
        .into_bytes()
}

/// A request with nothing but its line, as for probes and for the fake upstream's levers.
pub(crate) fn plain_request(address: SocketAddr, line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The request of an agent, unsigned.
pub(crate) fn exchange_request(address: SocketAddr, token: &str) -> Vec<u8> {
    let body = format!("{{\"token\":\"{token}\"}}");
    format!(
        "POST /clusters/bench/assume-role-for-pod-identity HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: u16,
    /// Its own size in bytes.
    pub(crate) size: usize,
    /// The size of the body that follows.
    pub(crate) body: usize,
}

impl Head {
    /// `None` while the head is not complete; an error if it cannot be one.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[..end]).context("the head is not text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let body = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok(Some(Self {
            status: status.context("no status of HTTP/1.1")?,
            size: end + 4,
            body: body.context("no Content-Length")?,
        }))
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting failed")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER] })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Head> {
        self.stream.write_all(request).await.context("sending failed")?;
        let mut filled = 0;
        let mut head = None;
        loop {
            if filled == self.buffer.len() {
                ensure!(filled < LONGEST, "the answer is larger than {LONGEST} bytes");
                self.buffer.resize(filled * 4, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.context("reading failed")?;
            ensure!(read > 0, "closed after {filled} bytes of the answer");
            filled += read;
            if head.is_none() {
                head = Head::parse(&self.buffer[..filled])?;
            }
            match head {
                Some(head) if filled == head.size + head.body => return Ok(head),
                Some(head) if filled > head.size + head.body => anyhow::bail!("bytes after the answer"),
                _ => {}
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, head: Head) -> &[u8] {
        &self.buffer[head.size..head.size + head.body]
    }
}

/// One request on a connection of its own; an error unless the answer is 200.
pub(crate) async fn ask_once(address: SocketAddr, request: &[u8]) -> Result<(Head, String)> {
    let mut connection = Connection::open(address).await?;
    let head = connection.ask(request).await?;
    let body = String::from_utf8_lossy(connection.body(head)).into_owned();
    ensure!(head.status == 200, "{address} answers {}: {body}", head.status);
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_known_once_it_is_complete() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-TYPE: x\r\nContent-length: 12\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(Head::parse(&head[..cut]).unwrap(), None);
        }
        assert_eq!(Head::parse(head).unwrap(), Some(Head { status: 200, size: head.len(), body: 12 }));
    }

    #[test]
    fn a_head_without_status_or_length_is_an_error() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n").is_err());
        assert!(Head::parse(b"SPDY 200\r\nContent-Length: 1\r\n\r\n").is_err());
    }
}
