//! Frames of a WebSocket, as a server reads and writes them (RFC 6455).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer message ends the socket.
const LONGEST: u64 = 16 << 20;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Text or bytes, whole.
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Vec<u8>),
}

/// Reads the next message; `begun` holds what came of one before a ping or the like. A frame that is not masked is refused,
/// as the standard wants it.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin), begun: &mut Vec<u8>) -> io::Result<Message> {
    loop {
        let mut head = [0; 2];
        from.read_exact(&mut head).await?;
        let (last, code) = (head[0] & 0x80 != 0, head[0] & 0x0f);
        if head[1] & 0x80 == 0 || head[0] & 0x70 != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = match head[1] & 0x7f {
            126 => u64::from(from.read_u16().await?),
            127 => from.read_u64().await?,
            short => u64::from(short),
        };
        if length + begun.len() as u64 > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut mask = [0; 4];
        from.read_exact(&mut mask).await?;
        let mut data = vec![0; length as usize];
        from.read_exact(&mut data).await?;
        for (byte, mask) in data.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        match code {
            0x8 => return Ok(Message::Close(data)),
            0x9 => return Ok(Message::Ping(data)),
            0xa => return Ok(Message::Pong),
            0x0..=0x2 => begun.extend(data),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        if last {
            return Ok(Message::Data(std::mem::take(begun)));
        }
    }
}

/// A frame of the server's: text is 1, close 8, pong 10.
pub(crate) fn write(code: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | code];
    match data.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(data);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(code: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = write(code, data);
        let at = frame.len() - data.len();
        frame[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        let data: Vec<u8> = data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        frame.truncate(at);
        frame.extend(mask);
        frame.extend(data);
        frame
    }

    #[tokio::test]
    async fn what_a_client_writes_is_read() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let data = vec![b'x'; length];
            assert_eq!(read(&mut &masked(1, &data)[..], &mut Vec::new()).await.unwrap(), Message::Data(data));
        }
        let mut parts = masked(1, b"ab");
        parts[0] &= 0x7f;
        // Pings may come in between.
        parts.extend(masked(9, b"p"));
        parts.extend(masked(0, b"cd"));
        let (mut parts, mut begun) = (&parts[..], Vec::new());
        assert_eq!(read(&mut parts, &mut begun).await.unwrap(), Message::Ping(b"p".to_vec()));
        assert_eq!(read(&mut parts, &mut begun).await.unwrap(), Message::Data(b"abcd".to_vec()));
        read(&mut &write(1, b"not masked")[..], &mut begun).await.unwrap_err();
    }
}
