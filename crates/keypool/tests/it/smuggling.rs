//! What hostile callers and providers hide in heads: bytes written by hand, and what of them goes on.

use std::{net::SocketAddr, time::Duration};

use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower_keypool::Key;

use crate::{
    hostile::answering,
    serving::ONE,
    support::{Served, raw},
};

/// A provider that tells what arrives, byte for byte, and finds it fine.
pub(crate) async fn recording() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, came) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                while let Some(request) = one_request(&mut stream).await {
                    let _ = told.send(request);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                }
            });
        }
    });
    (address, came)
}

/// One request of a connection, read to its end.
async fn one_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|n| n.parse().unwrap());
        let chunked = head.contains("transfer-encoding: chunked");
        if (chunked && body.ends_with("0\r\n\r\n")) || (!chunked && body.len() >= length.unwrap_or(0)) {
            return Some(text);
        }
    }
}

async fn served() -> (Served, mpsc::UnboundedReceiver<String>) {
    let (upstream, came) = recording().await;
    let served = Served::keys([Key::new(ONE).id("one")], &format!("http://{upstream}"), Duration::ZERO).await;
    (served, came)
}

const CALL: &str = "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";

#[tokio::test]
async fn what_is_the_callers_own_goes_before_the_key_comes_in() {
    let (served, mut came) = served().await;
    let request = format!(
        "POST /v1beta/models/m:generateContent?KEY=q1&k%65y=q2&%4B%45%59=q3&Access_Token=q4&acc%65ss%5Ftoken=q5&OAUTH_token=q6\
         &oauth%5ftoken=q7&+key=q8&api%5fkey=q9&alt=sse HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close, X-Goog-Api-Key, Authorization\r\nConnection: x-hop\r\nX-Hop: h1\r\nKeep-Alive: timeout=9\r\n\
         TE: trailers, deflate\r\nProxy-Authorization: Basic h2\r\nProxy-Connection: h3\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: h4\r\nCookie: SID=h5\r\nCookie: HSID=h6\r\nX-Goog-User-Project: h7\r\n\
         X-HTTP-Method-Override: DELETE\r\nX-Http-Method: h8\r\nX-Method-Override: h9\r\nX-Keypool-Wait: 1\r\n\
         X-Keypool-Anything: h10\r\nX-Forwarded-For: h11\r\nForwarded: for=h12\r\nX-Real-Ip: h13\r\n\
         X-Forwarded-Host: h14\r\nX-Goog-Authenticated-User-Email: h15\r\nX-Goog-Authenticated-User-Id: h16\r\n\
         X-Goog-Iap-Jwt-Assertion: h17\r\nVia: h18\r\n\
         x-goog-api-key: {PLACEHOLDER}\r\nX-Goog-Api-Key: c1\r\nAuthorization: Bearer c2\r\nAuthorization: Basic c3\r\n\
         x-api-key: c4\r\napi-key: c5\r\nX-Stays: yes\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let answer = raw(served.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let sent = came.recv().await.unwrap();
    let mut lines: Vec<String> = sent.lines().skip(1).filter(|line| line.contains(": ")).map(str::to_owned).collect();
    lines.sort();
    let authority = sent.lines().find(|line| line.starts_with("host: ")).unwrap();
    let key = format!("x-goog-api-key: {ONE}");
    let expected = ["connection: te", "content-length: 2", authority, "te: trailers", &key, "x-stays: yes"];
    let fine: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.starts_with("accept-encoding")).collect();
    assert_eq!(fine, expected, "{sent}");
    assert!(sent.starts_with("POST /v1beta/models/m:generateContent?alt=sse HTTP/1.1\r\n"), "{sent}");
    assert_eq!(sent.matches(ONE).count(), 1, "exactly one credential leaves");
}

/// Some servers read an underscore as a hyphen.
#[tokio::test]
async fn what_is_the_callers_own_goes_also_where_it_is_written_with_underscores() {
    let (served, mut came) = served().await;
    let request = format!(
        "{CALL}X_Goog_Api_Key: c1\r\nx-goog_api-key: c2\r\nx_api_key: c3\r\napi_key: c4\r\n\
         Proxy_Authorization: Basic c5\r\nX_Goog_User_Project: h1\r\nOpenAI_Organization: h2\r\nKeep_Alive: h3\r\n\
         Transfer_Encoding: chunked\r\nProxy_Connection: h4\r\nX_HTTP_Method_Override: DELETE\r\nX_Keypool_Wait: 1\r\n\
         X_Forwarded_For: h5\r\nX_Real_Ip: h6\r\nTrue_Client_Ip: h7\r\nHTTP2_Settings: h8\r\n\
         X_Stays: yes\r\nforwarded_mail: yes\r\nx-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let answer = raw(served.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let sent = came.recv().await.unwrap();
    let mut under: Vec<&str> = sent.lines().filter(|line| line.split(':').next().unwrap().contains('_')).collect();
    under.sort_unstable();
    assert_eq!(under, ["forwarded_mail: yes", "x_stays: yes"], "{sent}");
    assert!(sent.matches(ONE).count() == 1 && !sent.contains("c1") && !sent.contains("c2"), "{sent}");
}

#[tokio::test]
async fn queries_that_would_be_headers_bodies_or_scripts_go_nowhere() {
    let (served, mut came) = served().await;
    for name in [
        "$httpHeaders",
        "%24httpHeaders",
        "$HTTPHEADERS",
        "%24%68ttpHeaders",
        "$httpMethod",
        "callback",
        "CALLBACK",
        "c%61llback",
        "%63allback",
        "$callback",
        "jsonp",
        "$req",
        "$ct",
        "$userProject",
        "userProject",
        "+callback",
    ] {
        let request = format!(
            "GET /v1beta/cachedContents/x?a=b&{name}=evil HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-goog-api-key: {PLACEHOLDER}\r\n\r\n"
        );
        let answer = raw(served.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
        assert!(!answer.contains("evil"), "{answer}");
    }
    assert!(came.try_recv().is_err());
}

#[tokio::test]
async fn what_would_hide_an_answers_cost_goes_nowhere() {
    const MAKE: &str = "/v1beta/models/m:generateContent";
    let (served, mut came) = served().await;
    let send = async |method: &str, path: &str, header: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\
             x-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        raw(served.address, &request).await
    };
    for query in [
        "fields=candidates",
        "$fields=candidates",
        "%24FIELDS=candidates",
        "f%69elds=",
        "fields=candidates(usageMetadata)",
        "fields=usageMetadata/totalTokenCount",
        "fields=usageMetadata&fields=candidates",
        "alt=proto",
        "$alt=proto",
        "a=b&ALT=Proto",
        "%24alt=p%72oto",
        "alt=json&$alt=proto",
        "alt=media",
        "alt=atom",
    ] {
        for path in [MAKE, "/v1beta/models/m:streamGenerateContent", "/v1/chat/completions"] {
            let answer = send("POST", &format!("{path}?{query}"), "").await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{query}: {answer}");
            let status = if path.starts_with("/v1/") { "invalid_request_error" } else { "INVALID_ARGUMENT" };
            assert!(answer.contains(status) && answer.contains("cost"), "{query}: {answer}");
        }
    }
    assert!(send("GET", "/v1beta/cachedContents/x?alt=proto", "").await.starts_with("HTTP/1.1 400 "));
    for header in [
        "X-Goog-FieldMask: candidates\r\n",
        "x-goog-fieldmask: usageMetadata\r\nx-goog-fieldmask: candidates\r\n",
        "accept: application/x-protobuf\r\n",
        "accept: application/json, Application/X-Protobuf;q=1\r\n",
        "content-type: application/x-protobuf\r\n",
        "accept: application/json\r\naccept: application/x-protobuf\r\n",
    ] {
        let answer = send("POST", MAKE, header).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("cost"), "{header}: {answer}");
    }
    assert!(came.try_recv().is_err());
    for (query, header) in [
        ("alt=sse", ""),
        ("$alt=json", "accept: application/json, text/event-stream\r\n"),
        ("%24alt=json%3Benum-encoding%3Dint", ""),
        ("alt=JSON", "accept: */*\r\n"),
        ("alt=", ""),
        ("fields=candidates,usageMetadata", ""),
        ("$fields=%2A", "x-goog-fieldmask: candidates.content, usageMetadata\r\n"),
    ] {
        let answer = send("POST", &format!("{MAKE}?{query}"), header).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{query}: {answer}");
    }
}

#[tokio::test]
async fn heads_that_two_could_read_in_two_ways_are_refused_or_made_one() {
    let (served, mut came) = served().await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    for (what, request) in [
        ("two lengths", format!("{CALL}{key}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}")),
        ("a list of lengths", format!("{CALL}{key}content-length: 2, 3\r\n\r\n{{}}")),
        ("a signed length", format!("{CALL}{key}content-length: +2\r\n\r\n{{}}")),
        ("a folded line", format!("{CALL}{key}x-a: 1\r\n x-goog-user-project: p\r\ncontent-length: 2\r\n\r\n{{}}")),
        ("NUL in a value", format!("{CALL}{key}x-a: 1\0\r\ncontent-length: 2\r\n\r\n{{}}")),
        ("NUL in a name", format!("{CALL}{key}x\0a: 1\r\ncontent-length: 2\r\n\r\n{{}}")),
        ("a bare CR", format!("{CALL}{key}x-a: 1\rx-b: 2\r\ncontent-length: 2\r\n\r\n{{}}")),
        (
            "a blank before the colon",
            format!("{CALL}{key}transfer-encoding : chunked\r\ncontent-length: 2\r\n\r\n{{}}"),
        ),
        ("chunked, but not last", format!("{CALL}{key}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n")),
        ("another coding", format!("{CALL}{key}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("a chunk of no size", format!("{CALL}{key}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n")),
        (
            "a chunk that overflows",
            format!("{CALL}{key}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{{}}\r\n"),
        ),
        ("a blank in the target", format!("POST /v1beta/models/m:x y HTTP/1.1\r\nhost: localhost\r\n{key}\r\n")),
        ("another protocol", format!("POST /v1beta/models/m:x HTTP/3.7\r\nhost: localhost\r\n{key}\r\n")),
        (
            "chunks in HTTP/1.0",
            format!(
                "POST /v1beta/models/m:generateContent HTTP/1.0\r\nhost: localhost\r\n{key}transfer-encoding: chunked\r\n\r\n\
             0\r\n\r\n"
            ),
        ),
    ] {
        let answer = raw(served.address, &request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{what}: {answer}"
        );
        assert!(came.try_recv().is_err(), "{what}");
    }
    // A length beside chunks is none, and what stands behind them is another request, or nothing.
    let both = format!(
        "{CALL}{key}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
    );
    let answer = raw(served.address, &both).await;
    if let Ok(sent) = came.try_recv() {
        assert!(!sent.contains("content-length: 3") && sent.contains("2\r\n{}\r\n0\r\n"), "{sent}");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(came.try_recv().is_err());
    // A line that ends with LF alone is one; what comes of it is written anew.
    let bare = format!(
        "POST /v1beta/models/m:generateContent HTTP/1.1\nhost: localhost\nconnection: close\n{}content-length: 2\n\n{{}}",
        key.replace('\r', "")
    );
    let answer = raw(served.address, &bare).await;
    if answer.starts_with("HTTP/1.1 200 ") {
        let sent = came.recv().await.unwrap();
        assert!(!sent.replace("\r\n", "").contains('\n'), "{sent:?}");
    } else {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_asks_for_a_host_too() {
    let (served, mut came) = served().await;
    let head = |host: &str| {
        format!(
            "POST /v1beta/models/m:generateContent HTTP/1.0\r\n{host}x-goog-api-key: {PLACEHOLDER}\r\ncontent-length: \
             2\r\n\r\n{{}}"
        )
    };
    let answer = raw(served.address, &head("host: localhost\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert!(came.recv().await.unwrap().contains(" HTTP/1.1\r\n"));
    for host in ["", "host: evil.example\r\n", "host: localhost\r\nhost: evil.example\r\n"] {
        let answer = raw(served.address, &head(host)).await;
        assert!(answer.starts_with("HTTP/1.0 4"), "{host}: {answer}");
    }
    assert!(came.try_recv().is_err());
}

#[tokio::test]
async fn requests_in_a_row_are_each_looked_at() {
    let (served, mut came) = served().await;
    let one = |token: &str, path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {token}\r\ncontent-length: 2\r\n\r\n{{}}")
    };
    let all = [
        one(PLACEHOLDER, "/v1beta/models/a:generateContent"),
        one("wrong", "/v1beta/models/b:generateContent"),
        one(PLACEHOLDER, "/v1beta/models/c:generateContent"),
    ];
    let answers = raw(served.address, &all.concat()).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "401", "200"], "{answers}");
    let mut sent = Vec::new();
    while let Ok(request) = came.try_recv() {
        sent.push(request.split(':').next().unwrap().to_owned());
    }
    assert_eq!(sent, ["POST /v1beta/models/a", "POST /v1beta/models/c"]);
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_any_of_the_body_came() {
    let (served, mut came) = served().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let request = format!("{CALL}x-goog-api-key: wrong\r\n{expect}content-length: 1000000000\r\n\r\n")
            .replace("connection: close\r\n", "");
        let answer = raw(served.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "no 100, and no wait for the body: {answer}");
        assert!(!answer.contains("100 Continue"), "{answer}");
        assert!(expect.is_empty() || answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(came.try_recv().is_err());
    let expects = format!("{CALL}x-goog-api-key: {PLACEHOLDER}\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(expects.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!came.recv().await.unwrap().contains("expect"));
}

#[tokio::test]
async fn who_asks_whether_to_send_a_body_and_sends_it_anyway_sees_the_refusal() {
    let (served, _came) = served().await;
    let head = format!("{CALL}x-goog-api-key: wrong\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", 20 << 20)
        .replace("connection: close\r\n", "");
    for _ in 0..5 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // It looks for an answer behind the body alone.
        stream.write_all(&vec![b'x'; 20 << 20]).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn heads_have_a_bound_in_number_and_size() {
    let (served, mut came) = served().await;
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let many: String = (0..300).map(|n| ["x-", &n.to_string(), ": 1\r\n"].concat()).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(200 << 10));
    let target = format!("POST /v1beta/models/{}:x HTTP/1.1\r\nhost: localhost\r\n{key}\r\n", "a".repeat(1 << 20));
    for request in [format!("{CALL}{key}{many}\r\n"), format!("{CALL}{key}{long}\r\n"), target] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // It may be refused before it is out.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "),
            "{answer:.200}"
        );
    }
    assert!(came.try_recv().is_err());
}

#[tokio::test]
async fn other_protocols_are_switched_to_for_nobody() {
    let (served, mut came) = served().await;
    for switch in ["h2c", "websocket", "TLS/1.2, HTTP/1.1"] {
        let request = format!(
            "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: localhost\r\nconnection: close, upgrade\r\nupgrade: \
             {switch}\r\nx-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let answer = raw(served.address, &request).await;
        assert!(!answer.contains("101 Switching"), "{switch}: {answer}");
        if let Ok(sent) = came.try_recv() {
            assert!(!sent.to_ascii_lowercase().contains("upgrade"), "{sent}");
        }
    }
}

#[tokio::test]
async fn what_binds_the_providers_host_or_opens_ours_to_pages_stays_behind_and_keys_are_blotted_out() {
    let body = format!("{{\"a\":\"{ONE}\"}}");
    let bytes = format!(
        "HTTP/1.1 302 {ONE}\r\nlocation: https://evil.example/?key={ONE}\r\nset-cookie: a=b\r\nset-cookie2: \
         c=d\r\nalt-svc: h3=\":443\"\r\nstrict-transport-security: max-age=1\r\npublic-key-pins: x\r\nclear-site-data: \
         \"*\"\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\nreport-to: {{}}\r\nnel: \
         {{}}\r\nx-keypool-key: forged\r\nx-keypool-any: forged\r\nconnection: close, x-hop\r\nx-hop: 1\r\nproxy-authenticate: \
         Basic\r\nopenai-organization: ours\r\nanthropic-organization-id: ours\r\nx-echo: {ONE}\r\nx-stays: yes\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let upstream = format!("http://{}", answering(bytes).await);
    let served = Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await;
    let request = format!("{CALL}x-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}");
    let answer = raw(served.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    assert!(!answer.contains(ONE), "{answer}");
    for name in [
        "set-cookie",
        "alt-svc",
        "strict-transport",
        "public-key-pins",
        "clear-site-data",
        "access-control",
        "report-to",
        "nel",
        "forged",
        "x-hop",
        "proxy-",
        "openai-organization",
        "anthropic-organization",
    ] {
        assert!(!answer.contains(&format!("\n{name}")) && !answer.contains("forged"), "{name}: {answer}");
    }
    assert!(answer.contains("x-stays: yes") && answer.contains("location: https://evil.example/?key=***"), "{answer}");
}

/// No page may read what is here, whatever the provider would let it.
#[tokio::test]
async fn pages_get_no_leave_to_ask() {
    let (served, mut came) = served().await;
    let own = format!("http://{}", served.address);
    for (origin, status) in [("http://evil.example", "403"), ("null", "403"), (own.as_str(), "200")] {
        let request = format!(
            "OPTIONS /v1beta/models/m:generateContent HTTP/1.1\r\nhost: {}\r\nconnection: close\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\nx-goog-api-key: {PLACEHOLDER}\r\n\r\n",
            served.address
        );
        let answer = raw(served.address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control-allow"), "{answer}");
    }
    assert!(came.try_recv().is_ok() && came.try_recv().is_err());
    // A form needs nobody's leave, but says where it is from.
    let form = format!(
        "POST /v1beta/models/m:generateContent?key={PLACEHOLDER} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\norigin: \
         http://evil.example\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}",
        served.address
    );
    assert!(raw(served.address, &form).await.starts_with("HTTP/1.1 403 "));
    assert!(came.try_recv().is_err());
}

#[tokio::test]
async fn json_however_deep_breaks_nothing() {
    let (served, mut came) = served().await;
    for (path, before, after, fine) in [
        ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"#, "}]}", false),
        ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":"#, "}", false),
        ("/v1/embeddings", r#"{"model":"m","input":"#, "}", false),
        ("/v1/messages", r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"#, "}]}", false),
        ("/v1/responses", r#"{"model":"m","input":"#, "}", false),
        ("/v1beta/models/m:generateContent", r#"{"cachedContent":"#, "}", false),
        // What is not read here is not judged here.
        ("/v1beta/models/m:generateContent", r#"{"contents":"#, "}", true),
        ("/v1beta/openai/chat/completions", r#"{"model":"m","messages":"#, "}", true),
    ] {
        // Longer ones go on unread while nothing belongs to anybody.
        for depth in [200, 30_000] {
            let body = format!("{before}{}{}{after}", "[".repeat(depth), "]".repeat(depth));
            let auth = if path.starts_with("/v1/") { "authorization: Bearer " } else { "x-goog-api-key: " };
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{auth}{PLACEHOLDER}\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = raw(served.address, &request).await;
            let status = if fine { "HTTP/1.1 200 " } else { "HTTP/1.1 400 " };
            assert!(answer.starts_with(status), "{path} {depth}: {answer:.300}");
            assert_eq!(came.try_recv().is_ok(), fine, "{path} {depth}");
        }
    }
}

/// Some servers read trailers as if they had been said in the head.
#[tokio::test]
async fn no_credential_goes_on_behind_a_body() {
    let (served, mut came) = served().await;
    let head = format!(
        "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-goog-api-key: {PLACEHOLDER}\r\n\
         transfer-encoding: chunked\r\ntrailer: x-goog-api-key, authorization\r\n\r\n\
         2\r\n{{}}\r\n0\r\nx-goog-api-key: theirs\r\nauthorization: Bearer theirs\r\n\r\n"
    );
    let answer = raw(served.address, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let arrived = came.recv().await.unwrap();
    assert!(arrived.ends_with("\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "{arrived}");
}

/// It would arrive packed, and nothing would say so any more.
#[tokio::test]
async fn a_request_that_is_packed_for_its_transfer_is_refused() {
    let (served, mut came) = served().await;
    for coding in ["gzip, chunked", "deflate, chunked"] {
        let head = format!(
            "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-goog-api-key: {PLACEHOLDER}\r\ntransfer-encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        );
        let answer = raw(served.address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{coding}: {answer}");
    }
    assert!(came.try_recv().is_err());
}
