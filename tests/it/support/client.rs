//! A client of messages: tokio-tungstenite, with every wait bounded.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::within;

pub struct Client<S = MaybeTlsStream<TcpStream>> {
    stream: WebSocketStream<S>,
}

/// Connects to `ws://…`, or with a request that carries headers of its own.
pub async fn connect(request: impl IntoClientRequest + Unpin) -> Client {
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let connecting = connect_async_with_config(request, Some(config), true);
    let (stream, _) = within("the opening handshake", connecting)
        .await
        .expect("connect");
    Client { stream }
}

/// The same at a server that may not be there.
pub async fn try_connect(url: &str) -> Option<Client> {
    let connecting = connect_async_with_config(url, None, true);
    let (stream, _) = within("the opening handshake", connecting).await.ok()?;
    Some(Client { stream })
}

/// Opens a WebSocket over a stream of any kind.
pub async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: impl IntoClientRequest + Unpin,
) -> Client<S> {
    let connecting = tokio_tungstenite::client_async(request, stream);
    let (stream, _) = within("the opening handshake", connecting)
        .await
        .expect("connect");
    Client { stream }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The stream without its WebSocket.
    pub fn into_stream(self) -> S {
        self.stream.into_inner()
    }

    pub async fn send(&mut self, message: Message) {
        within("room to send", self.stream.send(message))
            .await
            .expect("send");
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    pub async fn send_binary(&mut self, data: impl Into<Vec<u8>>) {
        self.send(Message::binary(data.into())).await;
    }

    /// Sends a text, unless the connection is lost.
    pub async fn try_send_text(&mut self, text: impl Into<String>) -> Option<()> {
        let sent = self.stream.send(Message::text(text.into()));
        within("room to send", sent).await.ok()
    }

    /// The next text; none where something else comes, or the connection is lost.
    pub async fn try_next_text(&mut self) -> Option<String> {
        loop {
            match within("a message", self.stream.next()).await?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Text(text) => return Some(text.to_string()),
                _ => return None,
            }
        }
    }

    /// The next text or binary message, or the Close; pings and pongs are passed over.
    pub async fn next(&mut self) -> Message {
        loop {
            let message = within("a message", self.stream.next())
                .await
                .expect("the connection ended without a Close")
                .expect("a message");
            if !message.is_ping() && !message.is_pong() {
                return message;
            }
        }
    }

    pub async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("a text expected: {other:?}"),
        }
    }

    pub async fn next_binary(&mut self) -> Vec<u8> {
        match self.next().await {
            Message::Binary(data) => data.to_vec(),
            other => panic!("a binary message expected: {other:?}"),
        }
    }

    /// The server's Close: its code (1005 if it has none) and reason.
    pub async fn next_close(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            Message::Close(None) => (1005, String::new()),
            other => panic!("a Close expected: {other:?}"),
        }
    }

    /// Answers the server's Close, and waits for the end of the connection.
    pub async fn expect_end(&mut self) {
        let last = within("the end", self.stream.next()).await;
        assert!(last.is_none(), "the end expected: {last:?}");
    }

    /// Sends a Close and reads the server's, over whatever messages are still under way.
    pub async fn close(&mut self, code: u16, reason: &str) -> (u16, String) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        within("the Close to go", self.stream.close(Some(frame)))
            .await
            .expect("send Close");
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }
}
