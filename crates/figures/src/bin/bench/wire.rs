//! HTTP/1.1 as far as the ends of a measurement need it: what they cost is time that the servers between cannot use.

use std::io;

use bytes::BytesMut;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that is read whole messages from, each with a `content-length`.
pub(crate) struct Wire {
    stream: TcpStream,
    head: BytesMut,
    scratch: Box<[u8]>,
}

impl Wire {
    pub(crate) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, head: BytesMut::with_capacity(16 << 10), scratch: vec![0; 64 << 10].into() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one message and hands out its head; `None` where the other side has closed.
    pub(crate) async fn read(&mut self) -> io::Result<Option<&[u8]>> {
        self.head.clear();
        let (end, length) = loop {
            if let Some(at) = memmem::find(&self.head, b"\r\n\r\n") {
                break (at + 4, length(&self.head[..at]));
            }
            if self.stream.read_buf(&mut self.head).await? == 0 {
                return if self.head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let length = length.ok_or_else(|| io::Error::other("a message without a content-length"))?;
        // One asks, the other answers: nothing stands behind a message.
        let mut left = (end + length).saturating_sub(self.head.len());
        while left > 0 {
            let most = left.min(self.scratch.len());
            match self.stream.read(&mut self.scratch[..most]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(Some(&self.head[..end]))
    }
}

fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let value = &head[memmem::find(head, NAME)? + NAME.len()..];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}
