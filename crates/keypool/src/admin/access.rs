//! Who is an administrator: whoever has the token, or a session that the token began. Both are known by their hashes.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tower_keypool::{Clock, Tick};

use super::answer::Fault;
use crate::gateway::capability::{Capability, hash_of};

/// Where the token may stand, beside `Authorization: Bearer`.
pub(crate) const ADMIN: HeaderName = HeaderName::from_static("x-keypool-admin");
/// What a session is called, with the port behind it where the address names one: a browser keeps one jar for a host,
/// whichever of its gateways it talks to.
const COOKIE: &str = "keypool_session";
/// How long one lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// So many at once; the oldest goes.
const MOST_SESSIONS: usize = 256;
/// No token is longer: what is need not be hashed.
const LONGEST: usize = 4096;
/// Whether somebody may still read a stream is asked this often, at least.
const ASKED: Duration = Duration::from_secs(15);
/// So many wrong tokens from an address in this time, and more of them are no news for the rest of it.
const TRIES: u32 = 10;
const ROUND: Duration = Duration::from_secs(60);
/// What that is called.
pub(super) const THROTTLED: &str = "throttled";
/// So many addresses are remembered.
const MOST_ADDRESSES: usize = 1024;

/// By what somebody is an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The token.
    Token,
    /// A session, in a cookie that a browser sends with whatever it asks.
    Session,
}

impl Who {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

#[derive(Debug)]
pub(super) struct Access {
    clock: Clock,
    held: Mutex<Held>,
    /// Somebody may do less than before.
    less: watch::Sender<()>,
}

/// By what somebody was let in, to be asked again: the hash of the token, or of the session.
#[derive(Clone, Debug)]
pub(super) enum Right {
    Token(String),
    Session(String),
}

#[derive(Debug, Default)]
struct Held {
    /// Of the token, in hexadecimal.
    token: Option<String>,
    /// When each ends, by its hash.
    sessions: HashMap<String, Tick>,
    /// Wrong tokens since when, by address.
    failed: HashMap<IpAddr, (Tick, u32)>,
}

impl Access {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default(), less: watch::Sender::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is the hash of the token from now on. Where it is another, sessions end.
    pub(super) fn change(&self, token: Option<String>) {
        let mut held = self.held();
        if held.token != token {
            *held = Held { token, ..Held::default() };
            drop(held);
            self.less.send_replace(());
        }
    }

    /// Whether anybody may administer.
    pub(super) fn is_on(&self) -> bool {
        self.held().token.is_some()
    }

    /// Who sent these headers.
    pub(super) fn who(&self, headers: &HeaderMap, from: IpAddr) -> Result<Who, Fault> {
        match token_in(headers) {
            Some(token) => self.try_token(token, from).map(|()| Who::Token),
            None if self.session_in(headers).is_some() => Ok(Who::Session),
            None => Err(refused("an administrator's token is needed: Authorization: Bearer, or x-keypool-admin")),
        }
    }

    /// By what these headers were let in.
    pub(super) fn right(&self, who: Who, headers: &HeaderMap) -> Option<Right> {
        match who {
            Who::Token => self.held().token.clone().map(Right::Token),
            Who::Session => self.session_in(headers).map(Right::Session),
        }
    }

    /// Until whoever was let in by this may no more: the session ended, or there is another token.
    pub(super) async fn lost(&self, right: &Right) {
        let mut less = self.less.subscribe();
        while let Some(left) = self.lasts(right) {
            tokio::select! {
                // The sender is ours.
                _ = less.changed() => {}
                () = tokio::time::sleep(left.min(ASKED)) => {}
            }
        }
    }

    /// How much longer it lasts, as far as it is known; `None`: it does not.
    fn lasts(&self, right: &Right) -> Option<Duration> {
        let (now, held) = (self.clock.tick(), self.held());
        match right {
            Right::Token(token) => (held.token.as_ref() == Some(token)).then_some(ASKED),
            Right::Session(name) => {
                let left = SESSION.saturating_sub(now.since(*held.sessions.get(name)?));
                (!left.is_zero()).then_some(left)
            }
        }
    }

    /// Whether this is the token. What is right is heard at any time, so that whoever shares an address with somebody
    /// who is wrong, and on purpose, is not kept out; of what is wrong, only the first few times each minute are news.
    pub(super) fn try_token(&self, token: &[u8], from: IpAddr) -> Result<(), Fault> {
        let (now, from) = (self.clock.tick(), block_of(from));
        let hash = if token.len() <= LONGEST { hash_of(token) } else { String::new() };
        let mut held = self.held();
        let same = held.token.as_ref().is_some_and(|ours| ours.as_bytes().ct_eq(hash.as_bytes()).into());
        if same {
            return Ok(());
        }
        if held.failed.len() >= MOST_ADDRESSES && !held.failed.contains_key(&from) {
            held.failed.retain(|_, (since, _)| now.since(*since) < ROUND);
            let oldest = held.failed.iter().min_by_key(|(_, (since, _))| *since).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| held.failed.len() >= MOST_ADDRESSES) {
                held.failed.remove(&oldest);
            }
        }
        let (since, times) = held.failed.entry(from).or_insert((now, 0));
        if now.since(*since) >= ROUND {
            (*since, *times) = (now, 0);
        }
        if *times >= TRIES {
            let seconds = ROUND.saturating_sub(now.since(*since)).as_secs() + 1;
            let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, THROTTLED, "too many wrong tokens: wait a moment");
            return Err(fault.with(header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        *times += 1;
        Err(refused("that is not the administrator's token"))
    }

    /// Begins a session: its cookie.
    pub(super) fn begin(&self, headers: &HeaderMap, secured: bool) -> Result<HeaderValue, Fault> {
        let failed = || Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no random number is to be had");
        let session = Capability::new().map_err(|_| failed())?;
        let now = self.clock.tick();
        let mut held = self.held();
        held.sessions.retain(|_, begun| now.since(*begun) < SESSION);
        if held.sessions.len() >= MOST_SESSIONS {
            let oldest = held.sessions.iter().min_by_key(|(_, begun)| **begun).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| held.sessions.remove(&oldest));
            self.less.send_replace(());
        }
        held.sessions.insert(session.name(), now);
        let seconds = SESSION.as_secs();
        let mut cookie = cookie(headers, &session.text(), seconds, secured).map_err(|_| failed())?;
        cookie.set_sensitive(true);
        Ok(cookie)
    }

    /// Ends the session of these headers: the cookie that takes its place.
    pub(super) fn end(&self, headers: &HeaderMap, secured: bool) -> Option<HeaderValue> {
        if let Some(name) = self.session_in(headers) {
            self.held().sessions.remove(&name);
            self.less.send_replace(());
        }
        cookie(headers, "", 0, secured).ok()
    }

    /// What the session of these headers is called here, if it lasts.
    fn session_in(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let ours = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let called = called(headers);
        let sent = ours.filter(|(name, _)| *name == called).take(4);
        let now = self.clock.tick();
        let held = self.held();
        // Where it is looked for depends on its hash alone.
        sent.filter_map(|(_, text)| Some(Capability::parse(text)?.name()))
            .find(|name| held.sessions.get(name).is_some_and(|begun| now.since(*begun) < SESSION))
    }
}

/// What a session is called at the address that these headers name.
fn called(headers: &HeaderMap) -> Cow<'static, str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let port = host.and_then(|host| host.rsplit_once(':')?.1.parse::<u16>().ok());
    port.map_or(Cow::Borrowed(COOKIE), |port| format!("{COOKIE}_{port}").into())
}

fn cookie(
    headers: &HeaderMap,
    text: &str,
    seconds: u64,
    secured: bool,
) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let (called, secure) = (called(headers), if secured { "; Secure" } else { "" });
    let text = format!("{called}={text}; HttpOnly; SameSite=Strict; Path=/-/; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text)
}

fn refused(message: &'static str) -> Fault {
    let fault = Fault::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
    fault.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keypool admin\""))
}

/// The token that these headers bring, right or wrong.
pub(super) fn token_in(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(token) = headers.get(ADMIN) {
        return Some(token.as_bytes());
    }
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A subscriber has 2^64 addresses of IPv6.
pub(super) fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tower_keypool::ManualClock;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access() -> (Access, ManualClock) {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let access = Access::new(clock.clock());
        access.change(Some(hash_of(b"the-admin-token-1")));
        (access, clock)
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[test]
    fn the_token_is_taken_in_two_places() {
        let (access, _) = access();
        for (name, value, fine) in [
            (ADMIN, "the-admin-token-1", true),
            (header::AUTHORIZATION, "bearer the-admin-token-1", true),
            (header::AUTHORIZATION, "Basic the-admin-token-1", false),
            (ADMIN, "the-admin-token-", false),
            (HeaderName::from_static("x-api-key"), "the-admin-token-1", false),
        ] {
            assert_eq!(access.who(&headers(name, value), HERE).is_ok(), fine, "{value}");
        }
        access.change(None);
        assert!(access.who(&headers(ADMIN, "the-admin-token-1"), HERE).is_err());
    }

    #[test]
    fn whoever_is_wrong_too_often_waits_and_nobody_who_is_right_does() {
        let (access, clock) = access();
        for _ in 0..TRIES {
            assert_eq!(access.try_token(b"wrong", HERE).unwrap_err().status, 401);
        }
        let fault = access.try_token(b"wrong", HERE).unwrap_err();
        assert_eq!((fault.status.as_u16(), fault.header.unwrap().1), (429, HeaderValue::from(61)));
        assert!(access.try_token(b"the-admin-token-1", HERE).is_ok(), "who is right shares the address");
        assert_eq!(access.try_token(&vec![b'x'; 1 << 20], HERE).unwrap_err().status, 429);
        assert_eq!(access.try_token(b"wrong", "192.0.2.1".parse().unwrap()).unwrap_err().status, 401);
        clock.advance(ROUND);
        assert_eq!(access.try_token(b"wrong", HERE).unwrap_err().status, 401);
        // However many there are, so many are remembered.
        for n in 0..3_000u32 {
            let _ = access.try_token(b"wrong", IpAddr::from(n.to_be_bytes()));
        }
        assert!(access.held().failed.len() <= MOST_ADDRESSES);
        let near = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        for n in 0..TRIES as u16 {
            let _ = access.try_token(b"wrong", near(n));
        }
        assert_eq!(access.try_token(b"wrong", near(99)).unwrap_err().status, 429, "the same subscriber");
    }

    #[test]
    fn two_gateways_on_one_host_have_sessions_of_their_own() {
        let ((one, _), (other, _)) = (access(), access());
        let at = |host: &str| headers(header::HOST, host);
        let begun = |access: &Access, host: &str| {
            let cookie = access.begin(&at(host), false).unwrap();
            cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
        };
        let jar = format!("{}; {}", begun(&one, "127.0.0.1:5000"), begun(&other, "127.0.0.1:5001"));
        assert!(jar.starts_with("keypool_session_5000=") && jar.contains("; keypool_session_5001="), "{jar}");
        for (access, host) in [(&one, "127.0.0.1:5000"), (&other, "127.0.0.1:5001")] {
            let mut sent = at(host);
            sent.insert(header::COOKIE, HeaderValue::from_str(&jar).unwrap());
            assert_eq!(access.who(&sent, HERE).unwrap(), Who::Session, "{host}");
            sent.insert(header::HOST, HeaderValue::from_static("127.0.0.1:5002"));
            assert!(access.who(&sent, HERE).is_err());
        }
        assert!(begun(&one, "[::1]").starts_with("keypool_session="));
    }

    #[test]
    fn a_session_lasts_twelve_hours_or_until_it_is_ended() {
        let (access, clock) = access();
        let cookie = access.begin(&HeaderMap::new(), true).unwrap();
        let cookie = cookie.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/-/", "Secure"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let sent = headers(header::COOKIE, &format!("a=b; {}", cookie.split(';').next().unwrap()));
        assert_eq!(access.who(&sent, HERE).unwrap(), Who::Session);
        let other = access.begin(&HeaderMap::new(), false).unwrap();
        assert!(!other.to_str().unwrap().contains("Secure"));
        access.end(&sent, true);
        assert!(access.who(&sent, HERE).is_err());
        let other = headers(header::COOKIE, other.to_str().unwrap().split(';').next().unwrap());
        clock.advance(SESSION.saturating_sub(Duration::from_secs(1)));
        assert!(access.who(&other, HERE).is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(access.who(&other, HERE).is_err());
        let text = format!("{:?}", access.held());
        assert!(!text.contains("the-admin-token"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_is_lost_with_its_session_or_token() {
        let (access, clock) = access();
        let access = std::sync::Arc::new(access);
        let session = || {
            let cookie = access.begin(&HeaderMap::new(), false).unwrap();
            headers(header::COOKIE, cookie.to_str().unwrap().split(';').next().unwrap())
        };
        let follow = |right: Option<Right>| {
            let (access, right) = (std::sync::Arc::clone(&access), right.unwrap());
            tokio::spawn(async move { access.lost(&right).await })
        };
        let (one, other) = (session(), session());
        let token = follow(access.right(Who::Token, &HeaderMap::new()));
        let (one_is, other_is) = (follow(access.right(Who::Session, &one)), follow(access.right(Who::Session, &other)));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!one_is.is_finished() && !other_is.is_finished() && !token.is_finished());
        access.end(&one, false);
        one_is.await.unwrap();
        assert!(!other_is.is_finished());
        clock.advance(SESSION);
        other_is.await.unwrap();
        assert!(!token.is_finished());
        access.change(Some(hash_of(b"the-admin-token-2")));
        token.await.unwrap();
    }
}
