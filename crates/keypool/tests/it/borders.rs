//! Ways out for tests: a provider that sees from which address it is called and may refuse one, an HTTP proxy and a SOCKS5
//! proxy. All on loopback, where Linux has 127.0.0.0/8.

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;

pub(crate) fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// In front of a simulator.
#[derive(Clone)]
pub(crate) struct Border {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<BTreeSet<IpAddr>>>,
    refused: Arc<Mutex<HashSet<IpAddr>>>,
}

/// As Gemini says it.
const LOCATION: &str = r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#;

impl Border {
    pub(crate) async fn before(provider: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let border = Self { address, seen: Arc::default(), refused: Arc::default() };
        let same = border.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                same.saw(peer.ip());
                tokio::spawn(same.clone().pass(stream, peer.ip(), provider));
            }
        });
        border
    }

    /// Request by request, so that who is refused from now on is told so, over a connection that stands as over a new one.
    async fn pass(self, mut stream: TcpStream, peer: IpAddr, provider: SocketAddr) {
        let Ok(mut provider) = TcpStream::connect(provider).await else { return };
        let (mut said, mut answer) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        loop {
            tokio::select! {
                come = stream.peek(&mut said) => {
                    let Ok(1..) = come else { return };
                    self.saw(peer);
                    if self.refused.lock().unwrap().contains(&peer) {
                        return refuse(stream).await;
                    }
                    let Ok(read) = stream.read(&mut said).await else { return };
                    let Ok(()) = provider.write_all(&said[..read]).await else { return };
                }
                read = provider.read(&mut answer) => {
                    let Ok(read @ 1..) = read else { return };
                    let Ok(()) = stream.write_all(&answer[..read]).await else { return };
                }
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn refuse(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        *self.refused.lock().unwrap() = addresses.into_iter().collect();
    }

    fn saw(&self, peer: IpAddr) {
        self.seen.lock().unwrap().insert(peer);
    }

    /// From which addresses it was called since the last look.
    pub(crate) fn seen(&self) -> Vec<IpAddr> {
        std::mem::take(&mut *self.seen.lock().unwrap()).into_iter().collect()
    }
}

async fn refuse(mut stream: TcpStream) {
    let head = head(&mut stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let _ = stream.read_exact(&mut body).await;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{LOCATION}",
        LOCATION.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A proxy that goes on from an address of its own.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// What it let through.
    through: Arc<AtomicUsize>,
}

impl Proxy {
    /// `asks`: for the name `me` and this password.
    pub(crate) async fn http(leaves_by: IpAddr, asks: Option<&'static str>) -> Self {
        use base64::Engine as _;
        let wanted = asks.map(|password| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
            format!("Proxy-Authorization: Basic {encoded}\r\n")
        });
        Self::serve(move |mut stream, through| {
            let wanted = wanted.clone();
            async move {
                let head = head(&mut stream).await;
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                if wanted.is_some_and(|wanted| !head.contains(&wanted)) {
                    let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                    return;
                }
                let Some(mut there) = reach(leaves_by, target).await else {
                    let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
                    return;
                };
                through.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = copy_bidirectional(&mut stream, &mut there).await;
            }
        })
        .await
    }

    /// The same in SOCKS5.
    pub(crate) async fn socks5(leaves_by: IpAddr, asks: Option<&'static str>) -> Self {
        Self::serve(move |mut stream, through| async move {
            let [_, methods] = bytes(&mut stream).await;
            let mut offered = vec![0; methods.into()];
            stream.read_exact(&mut offered).await.unwrap();
            let method = if asks.is_some() { 2 } else { 0 };
            if !offered.contains(&method) {
                let _ = stream.write_all(&[5, 0xff]).await;
                return;
            }
            stream.write_all(&[5, method]).await.unwrap();
            if let Some(password) = asks {
                let [_, length] = bytes(&mut stream).await;
                let mut name = vec![0; length.into()];
                stream.read_exact(&mut name).await.unwrap();
                let [length] = bytes(&mut stream).await;
                let mut given = vec![0; length.into()];
                stream.read_exact(&mut given).await.unwrap();
                let fine = name == b"me" && given == password.as_bytes();
                stream.write_all(&[1, u8::from(!fine)]).await.unwrap();
                if !fine {
                    return;
                }
            }
            let [_, _, _, kind] = bytes(&mut stream).await;
            let host = if kind == 1 {
                Ipv4Addr::from(bytes::<4>(&mut stream).await).to_string()
            } else {
                let [length] = bytes(&mut stream).await;
                let mut name = vec![0; length.into()];
                stream.read_exact(&mut name).await.unwrap();
                String::from_utf8(name).unwrap()
            };
            let port = u16::from_be_bytes(bytes(&mut stream).await);
            let Some(mut there) = reach(leaves_by, &format!("{host}:{port}")).await else {
                let _ = stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
                return;
            };
            through.fetch_add(1, Ordering::Relaxed);
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut there).await;
        })
        .await
    }

    /// One that says that it is through, and closes.
    pub(crate) async fn hollow() -> Self {
        Self::serve(move |mut stream, through| async move {
            head(&mut stream).await;
            through.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        })
        .await
    }

    async fn serve<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let through = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&through);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&counted)));
            }
        });
        Self { address, through }
    }

    /// Where it is spoken to over TLS.
    pub(crate) async fn behind(&self, acceptor: TlsAcceptor) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (front, proxy) = (listener.local_addr().unwrap(), self.address);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut proxy) = TcpStream::connect(proxy).await else { return };
                    let _ = copy_bidirectional(&mut stream, &mut proxy).await;
                });
            }
        });
        front
    }

    pub(crate) fn through(&self) -> usize {
        self.through.load(Ordering::Relaxed)
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn bytes<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    let _ = stream.read_exact(&mut bytes).await;
    bytes
}

async fn reach(from: IpAddr, target: &str) -> Option<TcpStream> {
    // Names of this machine alone.
    let target: SocketAddr = target.replace("localhost", "127.0.0.1").parse().ok()?;
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    socket.connect(target).await.ok()
}
