//! Peers that speak exact bytes: a client and a back end of HTTP/1 without an HTTP library.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An HTTP/1 connection of a client or of a back end.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request or status line.
    pub start: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// After a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice: {:?}", self.headers);
        value
    }

    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
    }
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.expect("connected"))
    }

    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("no delay");
        Self { stream, unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Sends a request for `path` of the shop and reads the response.
    pub async fn get(&mut self, path: &str) -> Message {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")).await
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, request: &str) -> Message {
        self.send(request).await;
        self.read(request.starts_with("HEAD")).await.expect("a response")
    }

    /// The next line, without its end; `None` at the end of the stream.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("text"));
            }
            if !self.fill().await {
                assert!(self.unread.is_empty(), "cut off: {:?}", self.unread);
                return None;
            }
        }
    }

    /// Exactly `length` bytes.
    pub async fn bytes(&mut self, length: usize) -> String {
        while self.unread.len() < length {
            assert!(self.fill().await, "{length} bytes, not only {}", self.unread.len());
        }
        let bytes: Vec<u8> = self.unread.drain(..length).collect();
        String::from_utf8(bytes).expect("text")
    }

    /// A request or response; `None` at the end of the stream.
    pub async fn message(&mut self) -> Option<Message> {
        self.read(false).await
    }

    /// Start line and headers, nothing after.
    pub async fn head(&mut self) -> Option<Message> {
        let start = self.line().await?;
        let headers = self.headers().await;
        Some(Message { start, headers, body: String::new(), trailers: Vec::new() })
    }

    async fn read(&mut self, only_head: bool) -> Option<Message> {
        let mut message = self.head().await?;
        let response = message.start.starts_with("HTTP/");
        let bodiless = response && (message.status() / 100 == 1 || message.status() == 204);
        if only_head || bodiless {
            return Some(message);
        }
        if message.header("transfer-encoding").is_some() {
            loop {
                let size = self.line().await.expect("a chunk");
                let size = usize::from_str_radix(&size, 16).expect("a size");
                if size == 0 {
                    break;
                }
                message.body += &self.bytes(size).await;
                assert_eq!(self.bytes(2).await, "\r\n");
            }
            message.trailers = self.headers().await;
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().expect("a length");
            message.body = self.bytes(length).await;
        } else if response {
            while self.fill().await {}
            message.body = String::from_utf8(std::mem::take(&mut self.unread)).expect("text");
        }
        Some(message)
    }

    async fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        loop {
            let line = self.line().await.expect("headers");
            let Some((name, value)) = line.split_once(':') else {
                assert_eq!(line, "");
                return headers;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Whether the other side closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        !self.fill().await && self.unread.is_empty()
    }

    /// Whether nothing comes for a while.
    pub async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(60), self.fill()).await.is_err()
    }

    /// Ends with a reset.
    pub fn reset(self) {
        // Closing with a zero linger time discards what is unsent.
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    }

    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(read) if read > 0)
    }
}

/// A back end on a port of its own that does with each connection what it is told.
pub struct Backend {
    pub address: SocketAddr,
    /// Connections so far.
    connections: Rc<RefCell<usize>>,
}

impl Backend {
    /// `serve` is given each connection, with its number from 0.
    pub async fn start<F>(serve: impl Fn(Wire, usize) -> F + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Rc::new(RefCell::new(0));
        let counter = Rc::clone(&connections);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = *counter.borrow();
                *counter.borrow_mut() += 1;
                tokio::task::spawn_local(serve(Wire::new(stream), number));
            }
        });
        Self { address, connections }
    }

    /// Answers every request on every connection.
    pub async fn answering(answer: impl Fn(Message) -> String + 'static) -> Self {
        let answer = Rc::new(answer);
        Self::start(move |mut wire, _| {
            let answer = Rc::clone(&answer);
            async move {
                while let Some(request) = wire.message().await {
                    wire.send(answer(request)).await;
                }
            }
        })
        .await
    }

    /// Answers every request with a body that says what it was.
    pub async fn echo() -> Self {
        Self::answering(|request| ok(&describe(&request))).await
    }

    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }
}

/// A request in one text, as [`Backend::echo`] tells it.
pub fn describe(request: &Message) -> String {
    let mut text = format!("{}\n", request.start);
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\n");
    }
    text + &format!("\n{}", request.body)
}

/// A response with a body of known length.
pub fn ok(body: &str) -> String {
    response("200 OK", body)
}

/// A response with a status.
pub fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A port on which nobody listens.
pub async fn unused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
