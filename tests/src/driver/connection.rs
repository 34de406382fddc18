//! One HTTP/1.1 connection over TLS that counts what it writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Trust;

/// A kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    written: Arc<AtomicU64>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
    /// Bytes of our request, headers and body, before TLS.
    pub request_bytes: u64,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }
}

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(trust: &Trust) -> Result<Self> {
        let tcp = TcpStream::connect(&trust.address).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(trust.tls.clone()).connect(trust.server_name()?, tcp).await?;
        let written = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: tls, written: written.clone() };
        let (sender, connection) = handshake(TokioIo::new(counted)).await?;
        tokio::spawn(async move {
            // Its error reaches the sender, which reports it.
            let _ = connection.await;
        });
        Ok(Self { sender, host: trust.address.clone(), written })
    }

    /// POSTs a body and waits for the whole answer.
    pub async fn post(&mut self, path: &str, media_type: &str, body: Vec<u8>) -> Result<Answer> {
        let request = hyper::Request::post(path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(Bytes::from(body)))?;
        self.send(request).await
    }

    /// GETs a path.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        let request = hyper::Request::get(path).header(HOST, &self.host).body(Full::new(Bytes::new()))?;
        self.send(request).await
    }

    async fn send(&mut self, request: hyper::Request<Full<Bytes>>) -> Result<Answer> {
        let before = self.written.load(Ordering::Relaxed);
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body, request_bytes: self.written.load(Ordering::Relaxed) - before })
    }
}

/// Counts bytes written through it.
struct Counted<S> {
    inner: S,
    written: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = done {
            self.written.fetch_add(count as u64, Ordering::Relaxed);
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
