//! A STOMP client that sends what it is told, byte for byte, and reads frames. It shares no code with the server.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

use super::{Server, User, secret, within};

/// A frame as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) command: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Frame {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").expect("a blank line");
        let mut lines = head.lines();
        let command = lines.next().expect("a command").to_owned();
        let headers = lines.map(|line| line.split_once(':').expect("a colon"));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { command, headers, body: body.trim_end_matches(['\0', '\n']).to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// What came: a frame, or the end with its close code and reason.
#[derive(Debug, Clone)]
pub(crate) enum Came {
    Frame(Frame),
    Closed(u16, String),
}

/// A connection.
pub(crate) struct Stomp {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    receipts: u32,
}

impl Stomp {
    /// Only the WebSocket, with these headers on the upgrade.
    pub(crate) async fn open(server: &Server, headers: &[(&str, &str)]) -> Result<Self, tokio_websockets::Error> {
        Self::open_at(server, "/ws-connect", headers).await
    }

    /// The same at this path, which may have a query.
    pub(crate) async fn open_at(
        server: &Server,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, tokio_websockets::Error> {
        let url = format!("{}{path}", server.base.replace("http://", "ws://"));
        let mut builder = ClientBuilder::from_uri(url.parse().expect("an address"));
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            builder = builder.add_header(name, HeaderValue::from_str(value).expect("a value")).expect("allowed");
        }
        let (socket, _) = within("the upgrade", builder.connect()).await?;
        Ok(Self { socket, receipts: 0 })
    }

    /// Connected as this user, with no heart-beat. It lasts as long as the access token.
    pub(crate) async fn connect(server: &Server, user: &User) -> Self {
        Self::connect_with(server, user, &[]).await
    }

    /// Connected as this user's browser, with its cookie, from the server's own page. It lasts as long as the session.
    pub(crate) async fn lease(server: &Server, user: &User) -> Self {
        Self::connect_with(server, user, &[("origin", &server.base), ("cookie", &user.cookie)]).await
    }

    /// Connected as this user, with these headers on the upgrade.
    pub(crate) async fn connect_with(server: &Server, user: &User, headers: &[(&str, &str)]) -> Self {
        let headers = [&[("sec-websocket-protocol", "v12.stomp")], headers].concat();
        let mut stomp = Self::open(server, &headers).await.expect("an upgrade");
        stomp.send(&format!("CONNECT\naccept-version:1.2\nheart-beat:0,0\nAuthorization:{}\n\n\0", user.jwt())).await;
        stomp.next("CONNECTED").await;
        stomp
    }

    /// These bytes in one text message. A connection that is gone shows when it is read.
    pub(crate) async fn send(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text.to_owned())).await;
    }

    /// Whatever comes next; heart-beats are passed over.
    pub(crate) async fn came(&mut self) -> Came {
        loop {
            match within("a frame", self.socket.next()).await {
                Some(Ok(message)) if message.is_close() => {
                    let (code, reason) = message.as_close().expect("a close");
                    return Came::Closed(code.into(), reason.to_owned());
                }
                Some(Ok(message)) => match message.as_text() {
                    Some(text) if text.trim().is_empty() => {}
                    Some(text) => return Came::Frame(Frame::parse(text)),
                    None => {}
                },
                Some(Err(_)) | None => return Came::Closed(1006, String::new()),
            }
        }
    }

    /// The next frame, which has to be this one.
    pub(crate) async fn next(&mut self, command: &str) -> Frame {
        match self.came().await {
            Came::Frame(frame) if frame.command == command => frame,
            other => panic!("{command} was expected, and {other:?} came"),
        }
    }

    /// An ERROR with this code, then a close of our own. Answers with the ERROR.
    pub(crate) async fn refused(&mut self, code: &str) -> Frame {
        let error = loop {
            match self.came().await {
                Came::Frame(frame) if frame.command == "ERROR" => break frame,
                Came::Frame(_) => {}
                Came::Closed(number, reason) => panic!("closed with {number} {reason:?} and no ERROR"),
            }
        };
        assert_eq!(error.header("code"), Some(code), "{error:?}");
        self.closed(4007).await;
        error
    }

    /// The end, with this code and some reason.
    pub(crate) async fn closed(&mut self, code: u16) {
        loop {
            if let Came::Closed(found, reason) = self.came().await {
                assert_eq!(found, code, "{reason}");
                assert!(!reason.is_empty());
                return;
            }
        }
    }

    /// Subscribes, and waits until it is done.
    pub(crate) async fn subscribe(&mut self, id: &str, destination: &str, headers: &[(&str, &str)]) {
        let extra: String = headers.iter().flat_map(|(name, value)| [*name, ":", *value, "\n"]).collect();
        let receipt = self.receipt();
        self.send(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\nreceipt:{receipt}\n{extra}\n\0")).await;
        assert_eq!(self.next("RECEIPT").await.header("receipt-id"), Some(receipt.as_str()));
    }

    /// Says something, and waits until it is stored. What is delivered meanwhile is passed over.
    pub(crate) async fn say(&mut self, room: u64, text: &str, client_id: Option<&str>) {
        let receipt = self.receipt();
        self.post(room, text, client_id, &receipt).await;
        loop {
            match self.came().await {
                Came::Frame(frame) if frame.command == "RECEIPT" => {
                    return assert_eq!(frame.header("receipt-id"), Some(receipt.as_str()));
                }
                Came::Frame(frame) if frame.command == "MESSAGE" => {}
                other => panic!("RECEIPT was expected, and {other:?} came"),
            }
        }
    }

    /// Says something without waiting.
    pub(crate) async fn post(&mut self, room: u64, text: &str, client_id: Option<&str>, receipt: &str) {
        secret(text);
        let id = client_id.map(|id| format!("client-message-id:{id}\n")).unwrap_or_default();
        let body = json!({ "content": text });
        self.send(&format!("SEND\ndestination:/app/chat/{room}\nreceipt:{receipt}\n{id}\n{body}\0")).await;
    }

    fn receipt(&mut self) -> String {
        self.receipts += 1;
        format!("r-{}", self.receipts)
    }
}
