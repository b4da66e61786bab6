//! Several accounts of a provider that is not Gemini's: their files, batches and the like are one list, asked for anew each
//! time, and what it shows is asked for where it is.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    binary::Running,
    home::{ACTS, Home, end},
    support::{Answer, ask},
};

const KEYS: [&str; 3] = [
    "sk-proj-TEST-not-a-real-key-0000000041",
    "sk-proj-TEST-not-a-real-key-0000000042",
    "sk-proj-TEST-not-a-real-key-0000000043",
];
const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";
const BETA: &str = "files-api-2025-04-14";
const OLD: &str = "2023-06-01";
/// From this version on lists go on by a token.
const TOKENS: &str = "2026-10-21";

/// What an account has: ids, and when each was made; the newest first.
type Items = Vec<(String, u64)>;

#[derive(Default)]
struct Books {
    accounts: HashMap<String, Items>,
    /// The same as it was before anything was deleted.
    once: HashMap<String, Items>,
    /// What an account answers to everything.
    moods: HashMap<String, u16>,
    arrivals: Vec<(String, String)>,
    /// After which time whoever is not well is to be asked again, in the provider's words.
    after: Option<(&'static str, &'static str)>,
}

/// A strict provider of accounts, each of which knows its own items alone.
#[derive(Clone)]
struct Provider {
    anthropic: bool,
    books: Arc<Mutex<Books>>,
}

impl Provider {
    async fn start(anthropic: bool, accounts: &[(&str, &[(&str, u64)])]) -> (Self, SocketAddr) {
        let own = |items: &[(&str, u64)]| items.iter().map(|(id, made)| ((*id).to_owned(), *made)).collect();
        let accounts: HashMap<String, Items> =
            accounts.iter().map(|(key, items)| ((*key).to_owned(), own(items))).collect();
        let provider = Self { anthropic, books: Arc::default() };
        *provider.books() = Books { once: HashMap::clone(&accounts), accounts, ..Books::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = answering.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (status, body) = provider.answer(&request.into_parts().0);
                    let response = Response::builder().status(status).header("content-type", "application/json");
                    let (name, after) = provider.books().after.unwrap_or(("retry-after", "1"));
                    let response = if status == 200 { response } else { response.header(name, after) };
                    let response = response.body(Full::<Bytes>::from(body.to_string())).unwrap();
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (provider, address)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on an account answers everything so; 200 is well.
    fn mood(&self, key: &str, status: u16) {
        self.books().moods.insert(key.to_owned(), status);
    }

    /// Who was asked what since the last time.
    fn arrivals(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.books().arrivals)
    }

    fn error(&self, status: u16, message: &str) -> (u16, Value) {
        let kind = if status == 404 { "not_found_error" } else { "invalid_request_error" };
        let error = json!({ "type": kind, "message": message, "param": null, "code": null });
        (status, if self.anthropic { json!({ "type": "error", "error": error }) } else { json!({ "error": error }) })
    }

    fn item(&self, id: &str, made: u64) -> Value {
        let made = if self.anthropic {
            // Not all are written to the same digit.
            let part = if made.is_multiple_of(10) { String::new() } else { format!(".{}", made % 10) };
            json!(format!("2026-01-01T{:02}:{:02}:{:02}{part}Z", made / 36_000, made / 600 % 60, made / 10 % 60))
        } else {
            json!(made)
        };
        json!({ "id": id, "created_at": made, "bytes": 7 })
    }

    fn answer(&self, head: &Parts) -> (u16, Value) {
        let key = if self.anthropic { head.headers.get("x-api-key") } else { head.headers.get("authorization") };
        let key = key.unwrap().to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        let mut books = self.books();
        books.arrivals.push((key.clone(), format!("{} {}", head.method, head.uri)));
        let (mood, books_after) = (books.moods.get(&key).copied().unwrap_or(200), books.after.is_some());
        let Books { accounts, once, .. } = &mut *books;
        let Some(own) = accounts.get_mut(&key) else { return self.error(401, "Incorrect API key provided") };
        if mood == 403 {
            let message = "You have insufficient permissions for this operation. Missing scopes: api.files.read.";
            let (status, mut error) = self.error(mood, message);
            error["error"]["code"] = "missing_scope".into();
            return (status, error);
        }
        if mood != 200 {
            let told = if books_after {
                "Something is wrong."
            } else {
                "Rate limit reached for requests. Please try again in 1s."
            };
            let (status, mut error) = self.error(mood, told);
            error["error"]["type"] = if mood == 429 { "rate_limit_error" } else { "overloaded_error" }.into();
            return (status, error);
        }
        if self.anthropic && (head.headers.get("anthropic-beta").is_none_or(|beta| beta != BETA)) {
            return self.error(404, "Not found");
        }
        let path = head.uri.path().strip_prefix("/v1/").unwrap();
        let lists: &[&str] = if self.anthropic { &["files", "messages/batches"] } else { &["files", "batches"] };
        if let Some(id) = lists.iter().find_map(|list| path.strip_prefix(list)?.strip_prefix('/')) {
            let Some(at) = own.iter().position(|(own, _)| own == id) else {
                return self.error(404, &format!("No such File object: {id}"));
            };
            let (id, made) = own[at].clone();
            if head.method == Method::DELETE {
                own.remove(at);
            }
            return (200, self.item(&id, made));
        }
        if !lists.contains(&path) {
            return self.error(404, "Unknown request URL");
        }
        let by_token = self.anthropic && head.headers["anthropic-version"] == TOKENS && path == "files";
        let once = once.get(&key).cloned().unwrap_or_default();
        let mut own = own.clone();
        let (mut limit, mut from, mut to) = (if path == "files" && !self.anthropic { 10_000 } else { 20 }, None, None);
        let most = if self.anthropic {
            1_000
        } else if path == "files" {
            10_000
        } else {
            100
        };
        for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            let position = |own: &Items| own.iter().position(|(id, _)| id == value);
            match name {
                "order" if value == "asc" => own.reverse(),
                "purpose" if value == "batch" => own.retain(|(id, _)| id.contains("batch")),
                "beta" | "order" => {}
                "limit" => match value.parse().ok().filter(|limit| (1..=most).contains(limit)) {
                    Some(asked) => limit = asked,
                    None => return self.error(400, "limit: out of range"),
                },
                "page" if by_token => {
                    // Each account knows its own alone; a place stays when what was there is deleted.
                    let id = value.strip_prefix(&format!("page_{}_", &key[key.len() - 2..]));
                    let Some(at) = id.and_then(|id| once.iter().position(|(own, _)| own == id)) else {
                        return self.error(400, "page: invalid cursor");
                    };
                    let behind = |id: &str| once.iter().position(|(own, _)| own == id).is_none_or(|own| own > at);
                    own.retain(|(id, _)| behind(id));
                }
                "after_id" | "before_id" if by_token => {
                    return self.error(400, &format!("{name}: Extra inputs are not permitted"));
                }
                "after" | "after_id" if (name == "after_id") == self.anthropic => match position(&own) {
                    Some(at) => from = Some(at + 1),
                    None => return self.error(404, "No such object: after"),
                },
                "before_id" if self.anthropic => match position(&own) {
                    Some(at) => to = Some(at),
                    None => return self.error(404, "No such object: before"),
                },
                _ => return self.error(400, &format!("Unknown parameter: {name}")),
            }
        }
        let (shown, more) = if let Some(end) = to {
            (&own[end.saturating_sub(limit)..end], end > limit)
        } else {
            let rest = &own[from.unwrap_or(0)..];
            (&rest[..rest.len().min(limit)], rest.len() > limit)
        };
        let data: Vec<Value> = shown.iter().map(|(id, made)| self.item(id, *made)).collect();
        let (first, last) = (shown.first().map(|(id, _)| id), shown.last().map(|(id, _)| id));
        if by_token {
            let next = last.filter(|_| more).map(|id| format!("page_{}_{id}", &key[key.len() - 2..]));
            return (200, json!({ "data": data, "next_page": next }));
        }
        let mut list = json!({ "data": data, "first_id": first, "last_id": last, "has_more": more });
        if !self.anthropic {
            list["object"] = "list".into();
        }
        (200, list)
    }
}

/// A gateway whose own accounts these are, and the same beside it as `there`. `owned`: it is told whose each key is.
fn toml(kind: &str, address: SocketAddr, (keys, owned): (&[&str], bool)) -> String {
    let keys = |front: &str| {
        let owner = |at| if owned { format!("owner = \"{front}-org{at}\", ") } else { String::new() };
        let of = |(at, key)| format!("{{ id = \"{front}{at}\", {}secret = \"{key}\" }}", owner(at));
        keys.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
    };
    let upstream = format!("http://{address}{}", if kind == "openai" { "/v1" } else { "" });
    format!(
        r#"
        keys = [{}]
        tenants = [{{ name = "alice", token = "{ALICE}" }}]
        [gateway]
        listen = "127.0.0.1:0"
        provider = "{kind}"
        upstream = "{upstream}"
        [pool]
        wait = 0
        [retry]
        first = "10ms"
        [rests]
        rate_limited = {{ first = "100ms", cap = "100ms" }}
        overloaded = {{ first = "100ms", cap = "100ms" }}
        [[providers]]
        name = "there"
        kind = "{kind}"
        upstream = "{upstream}"
        keys = [{}]
        "#,
        keys("k"),
        keys("p"),
    )
}

async fn send(running: &Running, asked: (Method, &str, &str)) -> Answer {
    send_as(running, asked, OLD).await
}

async fn send_as(running: &Running, (method, token, path): (Method, &str, &str), version: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    let request = if path.contains("beta=true") {
        request.header("x-api-key", token).header("anthropic-version", version).header("anthropic-beta", BETA)
    } else {
        request.header("authorization", format!("Bearer {token}"))
    };
    ask(request, String::new()).await
}

async fn get(running: &Running, path: &str) -> Answer {
    send(running, (Method::GET, PLACEHOLDER, path)).await
}

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// An account that rests is waited for by whoever asks for that, and by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_waits_for_an_account_as_it_asks_to() {
    let (provider, address) = Provider::start(false, &[(KEYS[0], &[("file-a", 2)]), (KEYS[1], &[("file-b", 1)])]).await;
    let home = Home::new();
    let file = home.write("keypool.toml", &toml("openai", address, (&KEYS[..2], true)));
    let running = Running::of(home.command(&["serve", "--config", &file]));
    provider.mood(KEYS[0], 429);
    assert_eq!(get(&running, "/v1/files").await.status, StatusCode::SERVICE_UNAVAILABLE);
    provider.mood(KEYS[0], 200);
    let list = async |wait: &str| {
        let request = Request::get(format!("{}/v1/files", running.url)).header("x-keypool-wait", wait);
        ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), "").await
    };
    let (does_not, waits) = tokio::join!(list("0"), list("20"));
    assert_eq!(does_not.status, StatusCode::SERVICE_UNAVAILABLE, "{does_not:?}");
    assert_eq!((waits.status, ids(&waits.json())), (StatusCode::OK, vec!["file-a".to_owned(), "file-b".to_owned()]));
    end(running).await;
}

/// All that a client finds that goes from page to page as the official ones do.
async fn through(running: &Running, path: &str, parameter: &str, limit: usize) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = get(running, &format!("{path}{mark}limit={limit}{after}")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let page = page.json();
        let found = ids(&page);
        assert!(found.len() <= limit && all.len() < 10_000, "{page}");
        assert_eq!((&page["first_id"], &page["last_id"]), (&json!(found.first()), &json!(found.last())));
        all.extend(found);
        if page["has_more"] == false {
            return all;
        }
        after = format!("&{parameter}={}", page["last_id"].as_str().unwrap());
    }
}

/// The same as Anthropic's clients of today do, with what is done between two pages.
async fn by_token(running: &Running, path: &str, limit: usize, mut between: impl AsyncFnMut(&Value)) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("{path}&limit={limit}{next}");
        let page = send_as(running, (Method::GET, PLACEHOLDER, &path), TOKENS).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let page = page.json();
        assert_eq!(page.as_object().unwrap().keys().collect::<Vec<_>>(), ["data", "next_page"]);
        let found = ids(&page);
        assert!(found.len() <= limit && all.len() < 10_000, "{page}");
        all.extend(found);
        between(&page).await;
        let Some(token) = page["next_page"].as_str() else { return all };
        next = format!("&page={token}");
    }
}

/// Until this list is answered again: whoever failed rests for a moment.
async fn until_well(running: &Running, path: &str, version: &str) -> Answer {
    let well = async {
        loop {
            let page = send_as(running, (Method::GET, PLACEHOLDER, path), version).await;
            if page.status.is_success() {
                return page;
            }
            is_passing(&page);
        }
    };
    tokio::time::timeout(ACTS, well).await.unwrap_or_else(|_| panic!("{path} is never well again"))
}

/// A page that cannot be whole just now: clients ask for it again.
#[track_caller]
fn is_passing(page: &Answer) {
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{page:?}");
    assert!(page.header("retry-after").parse::<u64>().unwrap() >= 1, "{page:?}");
    assert!(page.json()["error"]["message"].is_string(), "{page:?}");
}

/// Three accounts, some of whose items were made at the same moment.
const ACCOUNTS: [(&str, &[(&str, u64)]); 3] = [
    (KEYS[0], &[("file-a9", 90), ("file-a5", 50), ("file-a5b", 50), ("file-batch-a1", 10)]),
    (KEYS[1], &[("file-b8", 80), ("file-b5", 50), ("file-b5b", 50), ("file-b5c", 50), ("file-b3", 30)]),
    (KEYS[2], &[("file-batch-c5", 50), ("file-c4", 40), ("file-c2", 20)]),
];

fn made(id: &str) -> u64 {
    let all = ACCOUNTS.iter().flat_map(|(_, items)| items.iter());
    all.into_iter().find(|(own, _)| *own == id).unwrap().1
}

fn holder(id: &str) -> &'static str {
    ACCOUNTS.iter().find(|(_, items)| items.iter().any(|(own, _)| *own == id)).unwrap().0
}

#[track_caller]
fn is_all_of_them(found: &[String], newest_first: bool) {
    let distinct: HashSet<&String> = found.iter().collect();
    assert_eq!((distinct.len(), found.len()), (12, 12), "each once: {found:?}");
    let in_order = |pair: &[String]| {
        if newest_first { made(&pair[0]) >= made(&pair[1]) } else { made(&pair[0]) <= made(&pair[1]) }
    };
    assert!(found.windows(2).all(in_order), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_openais_accounts_are_one_list() {
    let (provider, address) = Provider::start(false, &ACCOUNTS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, true)));
    let mut running = Running::of(home.command(&["serve"]));
    for path in ["/v1/files", "/openai/v1/batches", "/to/there/v1/files"] {
        provider.arrivals();
        let whole = get(&running, path).await;
        assert_eq!(whole.header("content-type"), "application/json; charset=UTF-8");
        let whole = whole.json();
        is_all_of_them(&ids(&whole), true);
        assert_eq!((&whole["object"], &whole["has_more"]), (&json!("list"), &json!(false)));
        assert_eq!(
            whole["data"][0],
            json!({ "id": "file-a9", "created_at": 90, "bytes": 7 }),
            "as its account tells it"
        );
        let mut asked = provider.arrivals();
        asked.sort();
        let behind = path.trim_start_matches("/openai").trim_start_matches("/to/there");
        let expected: Vec<(String, String)> =
            KEYS.iter().map(|key| ((*key).to_owned(), format!("GET {behind}"))).collect();
        assert_eq!(asked, expected, "each account once, as the client asked");
        for limit in [1, 2, 3, 5, 11, 12, 100] {
            let found = through(&running, path, "after", limit).await;
            is_all_of_them(&found, true);
            assert_eq!(found, ids(&whole), "the same order in pages of {limit}");
            let found = through(&running, &format!("{path}?order=asc"), "after", limit).await;
            is_all_of_them(&found, false);
        }
        assert!(provider.arrivals().iter().all(|(_, target)| !target.contains("/file-")), "each item's place is known");
        let found = through(&running, &format!("{path}?purpose=batch"), "after", 1).await;
        assert_eq!(found, ["file-batch-c5", "file-batch-a1"], "what else is asked goes on");
    }
    // What was seen in a list is asked for where it is.
    provider.arrivals();
    for path in ["/v1/files", "/to/there/v1/files"] {
        for id in ["file-a5", "file-b5c", "file-c2"] {
            let one = get(&running, &format!("{path}/{id}")).await;
            assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!(id)), "{one:?}");
            assert_eq!(provider.arrivals(), [(holder(id).to_owned(), format!("GET /v1/files/{id}"))]);
        }
    }
    // Another process has seen none of it, and goes on all the same.
    end(running).await;
    running = Running::of(home.command(&["serve"]));
    let next = get(&running, "/v1/files?limit=3&after=file-b5").await;
    assert_eq!(next.status, StatusCode::OK, "{next:?}");
    let whole = ids(&get(&running, "/v1/files").await.json());
    let at = whole.iter().position(|id| id == "file-b5").unwrap();
    assert_eq!(ids(&next.json()), whole[at + 1..at + 4]);
    // Nobody's, a nonsense, and what the provider refuses are told as such.
    for (query, status) in [
        ("after=file-nobodys", StatusCode::NOT_FOUND),
        ("after=..%2Fmodels", StatusCode::BAD_REQUEST),
        ("after=file-a5&before=file-a9", StatusCode::BAD_REQUEST),
        ("limit=0", StatusCode::BAD_REQUEST),
        ("unheard=of", StatusCode::BAD_REQUEST),
    ] {
        let refused = get(&running, &format!("/v1/files?{query}")).await;
        assert_eq!(refused.status, status, "{query}: {refused:?}");
        assert!(refused.json()["error"]["message"].is_string(), "{query}: {refused:?}");
    }
    // What is there is nobody's: it is for whoever has the one token.
    provider.arrivals();
    for path in ["/v1/files", "/to/there/v1/files", "/v1/files/file-a5"] {
        let refused = send(&running, (Method::GET, ALICE, path)).await;
        assert_eq!((refused.status, provider.arrivals().len()), (StatusCode::NOT_FOUND, 0), "{path}: {refused:?}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_lists_go_forwards_and_backwards() {
    let (provider, address) = Provider::start(true, &ACCOUNTS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("anthropic", address, (&KEYS, true)));
    let running = Running::of(home.command(&["serve"]));
    for path in ["/v1/files?beta=true", "/to/there/v1/messages/batches?beta=true"] {
        let whole = get(&running, path).await.json();
        let all = ids(&whole);
        is_all_of_them(&all, true);
        assert_eq!((&whole["has_more"], &whole["object"]), (&json!(false), &Value::Null));
        for limit in [1, 2, 5, 12] {
            assert_eq!(through(&running, path, "after_id", limit).await, all, "{limit}");
            for (end, id) in all.iter().enumerate() {
                let page = get(&running, &format!("{path}&limit={limit}&before_id={id}")).await.json();
                let begin = end.saturating_sub(limit);
                assert_eq!(ids(&page), all[begin..end], "{limit} before {id}");
                assert_eq!(page["has_more"], json!(begin > 0), "{limit} before {id}");
            }
        }
        let one = get(&running, "/v1/files/file-b3?beta=true").await;
        assert_eq!(one.status, StatusCode::OK, "{one:?}");
    }
    provider.arrivals();
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_one_account_show_each_item_once() {
    let both = [(KEYS[0], ACCOUNTS[1].1), (KEYS[1], ACCOUNTS[1].1), (KEYS[2], ACCOUNTS[2].1)];
    let (provider, address) = Provider::start(false, &both).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, false)));
    let running = Running::of(home.command(&["serve"]));
    let whole = ids(&get(&running, "/v1/files").await.json());
    assert_eq!(whole.len(), 8, "{whole:?}");
    for limit in 1..9 {
        assert_eq!(through(&running, "/v1/files", "after", limit).await, whole, "in pages of {limit}");
    }
    // Either key will do for what both have.
    provider.arrivals();
    provider.mood(KEYS[0], 429);
    for _ in 0..3 {
        assert_eq!(get(&running, "/v1/files/file-b3").await.status, StatusCode::OK);
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_lists_nothing_is_left_out() {
    let (provider, address) = Provider::start(false, &ACCOUNTS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, true)));
    let running = Running::of(home.command(&["serve"]));
    assert_eq!(get(&running, "/v1/files").await.status, StatusCode::OK);
    provider.mood(KEYS[1], 403);
    // Without the account that has the item, what is behind that would be missing.
    let refused = get(&running, "/v1/files?after=file-b8").await;
    assert!(!refused.status.is_success() && refused.status != StatusCode::NOT_FOUND, "{refused:?}");
    for _ in 0..2 {
        let found = through(&running, "/v1/files", "after", 2).await;
        let expected = ["file-a9", "file-batch-c5", "file-c4", "file-c2", "file-a5", "file-a5b", "file-batch-a1"];
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len(), "{found:?}");
        assert!(found.len() == 7 && expected.iter().all(|id| found.contains(&(*id).to_owned())), "{found:?}");
        assert_eq!(get(&running, "/v1/files").await.header("x-keypool-incomplete"), "1");
    }
    assert_eq!(get(&running, "/to/there/v1/files").await.header("x-keypool-incomplete"), "1");
    provider.mood(KEYS[1], 200);
    let whole = get(&running, "/to/there/v1/batches").await;
    assert_eq!(whole.header("x-keypool-incomplete"), "", "what a key may not list is no fault of the key's");
    // Nobody lists anything: it says so.
    for key in KEYS {
        provider.mood(key, 403);
    }
    let refused = get(&running, "/v1/files").await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("missing_scope")),
        "{refused:?}"
    );
    for key in KEYS {
        provider.mood(key, 200);
    }
    assert_eq!(get(&running, "/v1/files").await.header("x-keypool-incomplete"), "");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_what_it_finds_finds_all() {
    let (provider, address) = Provider::start(false, &ACCOUNTS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, true)));
    let running = Running::of(home.command(&["serve"]));
    let (mut after, mut deleted) = (String::new(), Vec::new());
    loop {
        let page = get(&running, &format!("/v1/files?limit=2{after}")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let page = page.json();
        provider.arrivals();
        for id in ids(&page) {
            let gone = send(&running, (Method::DELETE, PLACEHOLDER, &format!("/v1/files/{id}"))).await;
            assert_eq!(gone.status, StatusCode::OK, "{gone:?}");
            assert_eq!(provider.arrivals(), [(holder(&id).to_owned(), format!("DELETE /v1/files/{id}"))]);
            deleted.push(id);
        }
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    is_all_of_them(&deleted, true);
    assert!(provider.books().accounts.values().all(Vec::is_empty));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_read_in_pieces() {
    let files = |front: &str| -> Items { (0..2_500).map(|n| (format!("file-{front}{n}"), 5_000 - n)).collect() };
    let (provider, address) = Provider::start(false, &[]).await;
    for (key, front) in KEYS.iter().zip(["a", "b", "c"]) {
        provider.books().accounts.insert((*key).to_owned(), files(front));
    }
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, true)));
    let running = Running::of(home.command(&["serve"]));
    let whole = get(&running, "/v1/files").await.json();
    assert_eq!((ids(&whole).len(), &whole["has_more"]), (7_500, &json!(false)));
    assert_eq!(provider.arrivals().len(), 3);
    let found = through(&running, "/v1/files", "after", 2_000).await;
    assert_eq!(found, ids(&whole));
    assert!(provider.arrivals().iter().all(|(_, target)| target.contains("limit=1000")));
    let found = through(&running, "/v1/batches", "after", 100).await;
    assert_eq!(found, ids(&whole));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_is_asked_as_the_client_asks() {
    let (provider, address) = Provider::start(false, &ACCOUNTS[..1]).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS[..1], true)));
    let running = Running::of(home.command(&["serve"]));
    for path in ["/v1/files?limit=2&after=file-a9", "/v1/batches"] {
        let page = get(&running, path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        assert_eq!(provider.arrivals(), [(KEYS[0].to_owned(), format!("GET {path}"))]);
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_clients_of_today_go_on_by_one_cursor_for_all_accounts() {
    let (provider, address) = Provider::start(true, &ACCOUNTS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml("anthropic", address, (&KEYS, true)));
    let mut running = Running::of(home.command(&["serve"]));
    for path in ["/v1/files?beta=true", "/to/there/v1/files?beta=true"] {
        let whole = by_token(&running, path, 12, async |_| {}).await;
        is_all_of_them(&whole, true);
        for limit in [1, 2, 3, 5, 11, 100] {
            let mut told = Vec::new();
            let found = by_token(&running, path, limit, async |page| told.push(page["next_page"].clone())).await;
            assert_eq!(found, whole, "the same order in pages of {limit}");
            assert_eq!(told.len(), 12_usize.div_ceil(limit), "no page is shorter than it must be");
            for token in told.iter().filter_map(Value::as_str) {
                assert!(token.starts_with("page_"), "{token}");
                assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
                let read = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &token[5..]);
                let read = String::from_utf8(read.unwrap()).unwrap();
                assert!(!["sk-", "k0", "k1", "k2", "-org"].iter().any(|secret| read.contains(secret)), "{read}");
            }
        }
    }
    // Another process goes on where it was.
    let mut restarted = 0;
    let first = send_as(&running, (Method::GET, PLACEHOLDER, "/v1/files?beta=true&limit=5"), TOKENS).await.json();
    end(running).await;
    running = Running::of(home.command(&["serve"]));
    let token = first["next_page"].as_str().unwrap();
    let rest = by_token(&running, &format!("/v1/files?beta=true&page={token}"), 7, async |_| restarted += 1).await;
    let all: Vec<String> = ids(&first).into_iter().chain(rest).collect();
    is_all_of_them(&all, true);
    assert_eq!(restarted, 1);
    // What is none of ours goes to nobody.
    provider.arrivals();
    let garbled = format!("{}x", &token[..token.len() - 1]);
    let foreign = format!("page_{}_file-a9", &KEYS[0][KEYS[0].len() - 2..]);
    for page in [&*garbled, &*foreign, &token[..20], "page_", "3", "page_%F0%9F%94%91", &"page_x".repeat(9_000)] {
        let path = format!("/v1/files?beta=true&page={page}");
        let refused = send_as(&running, (Method::GET, PLACEHOLDER, &path), TOKENS).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{page}: {refused:?}");
        assert_eq!(refused.json()["error"]["type"], "invalid_request_error", "{refused:?}");
    }
    let path = format!("/v1/messages/batches?beta=true&page={token}");
    let elsewhere = send_as(&running, (Method::GET, PLACEHOLDER, &path), TOKENS).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST, "{elsewhere:?}");
    assert_eq!(provider.arrivals().len(), 0);
    // Whoever deletes what is on a page misses nothing of the next one.
    let deleted = by_token(&running, "/v1/files?beta=true", 2, async |page| {
        for id in ids(page) {
            let path = format!("/v1/files/{id}?beta=true");
            let gone = send_as(&running, (Method::DELETE, PLACEHOLDER, &path), TOKENS).await;
            assert_eq!(gone.status, StatusCode::OK, "{gone:?}");
        }
    });
    is_all_of_them(&deleted.await, true);
    assert!(provider.books().accounts.values().all(Vec::is_empty));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_whole_or_it_is_asked_for_again() {
    // Each waits for rests that end.
    let each = async |anthropic, status| {
        let (provider, address) = Provider::start(anthropic, &ACCOUNTS).await;
        let home = Home::new();
        let (kind, version) = if anthropic { ("anthropic", TOKENS) } else { ("openai", OLD) };
        home.write("keypool.toml", &toml(kind, address, (&KEYS, true)));
        let running = Running::of(home.command(&["serve"]));
        let path = if anthropic { "/v1/files?beta=true&limit=4" } else { "/v1/files?limit=4" };
        let (mut all, mut next) = (Vec::new(), String::new());
        // One account after the other fails for a moment; each has more at that time.
        for failing in [KEYS[2], KEYS[0], KEYS[1]] {
            let path = format!("{path}{next}");
            provider.mood(failing, status);
            // Also once its key rests.
            for _ in 0..3 {
                is_passing(&send_as(&running, (Method::GET, PLACEHOLDER, &path), version).await);
            }
            provider.mood(failing, 200);
            let page = until_well(&running, &path, version).await;
            assert_eq!(page.header("x-keypool-incomplete"), "");
            let page = page.json();
            all.extend(ids(&page));
            next = match (page["next_page"].as_str(), page["has_more"] == true) {
                (Some(token), _) => format!("&page={token}"),
                (None, true) => format!("&after={}", page["last_id"].as_str().unwrap()),
                (None, false) => String::new(),
            };
        }
        assert_eq!(next, "", "three pages are all");
        is_all_of_them(&all, true);
        end(running).await;
    };
    tokio::join!(each(false, 500), each(false, 429), each(true, 529), each(true, 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_costs_a_call_of_each_account_for_a_page() {
    let (provider, address) = Provider::start(false, &[]).await;
    let files = |front: &str, count: u64, step: u64| -> Items {
        (0..count).map(|n| (format!("file-{front}{n}"), 100_000 - step * n)).collect()
    };
    for (key, (front, count, step)) in KEYS.iter().zip([("a", 600, 2), ("b", 300, 5), ("c", 30, 1)]) {
        provider.books().accounts.insert((*key).to_owned(), files(front, count, step));
    }
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address, (&KEYS, true)));
    let mut running = Running::of(home.command(&["serve"]));
    let whole = ids(&get(&running, "/v1/files").await.json());
    assert_eq!(whole.len(), 930);
    for path in ["/v1/files", "/v1/batches?order=asc"] {
        provider.arrivals();
        let found = through(&running, path, "after", 10).await;
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 930);
        let asked = provider.arrivals().len();
        assert!(asked <= 3 * 93 + 10, "{asked} calls for 93 pages of {path}");
    }
    // One that remembers nothing reads the others from their beginning, in large pages, once.
    let (at, path) = (whole.iter().position(|id| id == "file-a500").unwrap(), "/v1/files?after=file-a500&limit=100");
    end(running).await;
    running = Running::of(home.command(&["serve"]));
    for (most, path) in [(20, path), (10, "/v1/files?after=file-a500")] {
        provider.arrivals();
        let page = get(&running, path).await;
        assert_eq!(ids(&page.json()), whole[at + 1..whole.len().min(at + 1 + if most == 20 { 100 } else { 10_000 })]);
        let asked = provider.arrivals().len();
        assert!(asked <= most, "{asked} calls for {path}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_own_order_stays() {
    // Not by when they were made, as a provider's clocks have it.
    let jittered: [(&str, &[(&str, u64)]); 2] = [
        (KEYS[0], &[("file-a1", 90), ("file-a2", 95), ("file-a3", 40), ("file-a4", 70), ("file-a5", 20)]),
        (KEYS[1], &[("file-b1", 80), ("file-b2", 50), ("file-b3", 60), ("file-b4", 10)]),
    ];
    let expected = ["file-a1", "file-a2", "file-b1", "file-b2", "file-b3", "file-a3", "file-a4", "file-a5", "file-b4"];
    for anthropic in [false, true] {
        let (_provider, address) = Provider::start(anthropic, &jittered).await;
        let home = Home::new();
        home.write("keypool.toml", &toml(if anthropic { "anthropic" } else { "openai" }, address, (&KEYS[..2], true)));
        let running = Running::of(home.command(&["serve"]));
        let (path, parameter) = if anthropic { ("/v1/files?beta=true", "after_id") } else { ("/v1/files", "after") };
        for limit in 1..10 {
            assert_eq!(through(&running, path, parameter, limit).await, expected, "in pages of {limit}");
            if anthropic {
                assert_eq!(by_token(&running, path, limit, async |_| {}).await, expected, "in pages of {limit}");
            }
        }
        end(running).await;
    }
}

/// Whichever way a provider says when to come back, the page says it as the pool goes by it.
#[tokio::test(flavor = "multi_thread")]
async fn when_a_page_is_whole_again_is_told_however_the_provider_says_it() {
    for after in
        [("retry-after", "119.5"), ("retry-after-ms", "119500"), ("retry-after", "120s"), ("retry-after", "120, 120")]
    {
        let (provider, address) = Provider::start(false, &[(KEYS[0], &[("file-a1", 1)]), (KEYS[1], &[])]).await;
        provider.books().after = Some(after);
        let home = Home::new();
        home.write("keypool.toml", &toml("openai", address, (&KEYS[..2], true)));
        let running = Running::of(home.command(&["serve"]));
        for (path, status) in [("/v1/files", 429), ("/to/there/v1/files", 500)] {
            provider.mood(KEYS[1], status);
            let page = get(&running, path).await;
            let told = (page.status, page.header("retry-after"));
            assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "120"), "{after:?} {status}: {page:?}");
        }
        end(running).await;
    }
}
