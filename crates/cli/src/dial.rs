//! One HTTP request by hand, directly: no proxy setting, no connection pool and no retry between us and who answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long connecting may take, and then the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// As long as an SDK waits for an answer that may take a call to AWS.
pub(crate) const PATIENCE_FOR_CREDENTIALS: Duration = Duration::from_secs(7);

/// No page that is asked for comes near.
const LONGEST: u64 = 1024 * 1024;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nobody listens.
    Refused,
    /// The packets are lost on the way.
    Silence,
    /// Connected, and then no answer in time.
    Speechless,
    /// The kernel has no way there.
    NoWay(String),
    /// What answers is not HTTP.
    NotHttp,
}

/// Asks for `path`; `authorization` is the whole header.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    authorization: Option<&str>,
    patience: Option<Duration>,
) -> Result<Answer, NoAnswer> {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Err(_) => return Err(NoAnswer::Silence),
        Ok(Err(error)) => return Err(not_connected(&error)),
        Ok(Ok(stream)) => stream,
    };
    let authorization = authorization.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        // A server that resets after its answer has answered.
        match stream.take(LONGEST).read_to_end(&mut bytes).await {
            Err(error) if bytes.is_empty() => Err(error),
            _ => Ok(bytes),
        }
    };
    match timeout(patience.unwrap_or(PATIENCE), exchange).await {
        Err(_) => Err(NoAnswer::Speechless),
        Ok(Err(_)) => Err(NoAnswer::NotHttp),
        Ok(Ok(bytes)) => parse(&bytes).ok_or(NoAnswer::NotHttp),
    }
}

/// Host and port of a URL; the port of its scheme where it names none.
pub(crate) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url: http::Uri =
        if url.contains("://") { url.parse().ok()? } else { format!("http://{url}").parse().ok()? };
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    Some((url.host()?.trim_matches(['[', ']']).to_owned(), port))
}

/// The address that a URL names; `None` if it has a name instead.
pub(crate) fn address_of(url: &str) -> Option<SocketAddr> {
    let (host, port) = host_and_port(url)?;
    Some(SocketAddr::new(host.parse().ok()?, port))
}

fn not_connected(error: &io::Error) -> NoAnswer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NoAnswer::Refused,
        io::ErrorKind::TimedOut => NoAnswer::Silence,
        _ => NoAnswer::NoWay(error.to_string()),
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_the_port_of_its_scheme() {
        assert_eq!(host_and_port("https://a.example/x"), Some(("a.example".to_owned(), 443)));
        assert_eq!(host_and_port("proxy.example:3128"), Some(("proxy.example".to_owned(), 3128)));
        assert_eq!(host_and_port("http://[::1]:80"), Some(("::1".to_owned(), 80)));
        assert_eq!(host_and_port("http:// x"), None);
    }

    #[test]
    fn a_url_without_an_address_is_not_dialled() {
        assert_eq!(
            address_of("http://169.254.170.23/v1/credentials"),
            Some("169.254.170.23:80".parse().unwrap())
        );
        assert_eq!(
            address_of("http://[fd00:ec2::23]/v1/credentials"),
            Some("[fd00:ec2::23]:80".parse().unwrap())
        );
        assert_eq!(address_of("http://agent.example/"), None);
    }

    #[test]
    fn only_what_looks_like_http_is_an_answer() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "no"));
        for other in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"", b"HTTP/1.1 abc\r\n\r\n"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_and_a_silent_server_are_told_apart() {
        let port = testkit::ports::Port::claim();
        assert_eq!(get(port.address(), "/", None, None).await, Err(NoAnswer::Refused));
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let answer = get(address, "/", None, Some(Duration::from_millis(50))).await;
        assert_eq!(answer, Err(NoAnswer::Speechless));
    }
}
