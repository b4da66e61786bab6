//! How the providers treat the head of a request: they replace the caller's credentials by the key, rewrite the
//! address, and find the model and the cost.

use http::{Method, Request, Version, request::Parts};
use proptest::prelude::*;
use tower_keypool::{
    Anthropic, ApiKeyHeader, Base, ErrorKind, Gemini, KeyId, KeyPool, KeyRequest, OpenAi, Provider, Secret,
    provider::{ModelIn, RequestInfo, SetModel},
};

const KEY: &str = "pool-key-0123456789";

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// Prepares a head for sending, as the layers do.
fn send(provider: &dyn Provider, head: &mut Parts) {
    provider.base().apply(head).unwrap();
    provider.authorize(head, &Secret::with_scheme(provider.scheme(), KEY).unwrap()).unwrap();
}

/// Returns the query parameters and headers that contain this text, percent-decoded.
fn occurrences(head: &Parts, text: &str) -> Vec<String> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let query = head.uri.query().unwrap_or_default().split('&').map(decoded).map(|pair| format!("?{pair}"));
    let headers =
        head.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    query.chain(headers).filter(|place| place.contains(text)).collect()
}

fn providers() -> Vec<(Box<dyn Provider>, &'static str, &'static str)> {
    vec![
        (Box::new(Gemini::new()), "/v1beta/models/m:generateContent", "x-goog-api-key: pool-key-0123456789"),
        (Box::new(Gemini::new()), "/upload/v1beta/files", "x-goog-api-key: pool-key-0123456789"),
        (Box::new(Gemini::new()), "/v1beta/openai/chat/completions", "authorization: Bearer pool-key-0123456789"),
        (Box::new(OpenAi::new()), "/v1/chat/completions", "authorization: Bearer pool-key-0123456789"),
        (
            Box::new(OpenAi::at("https://r.openai.azure.com").unwrap()),
            "/openai/deployments/d/chat/completions",
            "api-key: pool-key-0123456789",
        ),
        (Box::new(Anthropic::new()), "/v1/messages", "x-api-key: pool-key-0123456789"),
        (Box::new(Anthropic::new().bearer()), "/v1/messages", "authorization: Bearer pool-key-0123456789"),
        (Box::new(ApiKeyHeader::header("X-Key", "http://h").unwrap()), "/x", "x-key: pool-key-0123456789"),
        (Box::new(ApiKeyHeader::bearer("http://h").unwrap()), "/x", "authorization: Bearer pool-key-0123456789"),
        (Box::new(ApiKeyHeader::query("key", "http://h").unwrap()), "/x", "?key=pool-key-0123456789"),
        (Box::new(ApiKeyHeader::query("appid", "http://h").unwrap()), "/x", "?appid=pool-key-0123456789"),
    ]
}

const CREDENTIAL_HEADERS: [&str; 12] = [
    "authorization",
    "x-goog-api-key",
    "x-api-key",
    "api-key",
    "cookie",
    "proxy-authorization",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
    "x_goog_api_key",
    "ocp-apim-subscription-key",
    "sec-websocket-protocol",
];

#[test]
fn only_the_keys_credential_is_sent() {
    let caller = "caller-secret";
    let queries =
        ["", "?key=caller-secret", "?KEY=caller-secret&k%65y=caller-secret", "?alt=sse&access_token=caller-secret&x=1"];
    for (provider, path, expected) in providers() {
        for query in queries {
            for name in CREDENTIAL_HEADERS {
                let value = match name {
                    "authorization" => "Bearer caller-secret",
                    "sec-websocket-protocol" => "realtime, openai-insecure-api-key.caller-secret",
                    _ => caller,
                };
                let sent = [(name, value), ("accept", "*/*"), (name, value), ("x-goog-api-key", caller)];
                let mut head = head("POST", &format!("{path}{query}"), &sent);
                send(&*provider, &mut head);
                assert_eq!(occurrences(&head, caller), [""; 0], "{} {path}{query} {name}", provider.name());
                assert_eq!(occurrences(&head, KEY), [expected], "{} {path}{query} {name}", provider.name());
                assert_eq!(head.headers["accept"], "*/*");
            }
        }
        let mut all =
            head("POST", path, &CREDENTIAL_HEADERS[..11].iter().map(|name| (*name, caller)).collect::<Vec<_>>());
        send(&*provider, &mut all);
        assert_eq!((occurrences(&all, caller).len(), occurrences(&all, KEY)), (0, vec![expected.to_owned()]));
    }
}

#[test]
fn key_in_the_query_is_encoded_and_replaces_the_callers() {
    let api = ApiKeyHeader::query("appid", "http://h/v3").unwrap();
    for (uri, sent) in [
        ("/now", "http://h/v3/now?appid=a%2Bb%26c"),
        ("/now?", "http://h/v3/now?appid=a%2Bb%26c"),
        ("/now?city=%C3%9Clm&AppId=x&app%69d=y", "http://h/v3/now?city=%C3%9Clm&appid=a%2Bb%26c"),
    ] {
        let mut head = head("GET", uri, &[]);
        api.base().apply(&mut head).unwrap();
        api.authorize(&mut head, &Secret::new("a+b&c").unwrap()).unwrap();
        assert_eq!(head.uri, sent);
    }
    let (no_header, no_parameter) = (ApiKeyHeader::header("x y", "http://h"), ApiKeyHeader::query("a=b", "http://h"));
    for error in [no_header.unwrap_err(), no_parameter.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn key_is_marked_sensitive() {
    for (provider, path, _) in providers() {
        let mut head = head("POST", path, &[]);
        send(&*provider, &mut head);
        assert!(head.headers.values().all(|value| value != KEY || value.is_sensitive()));
        assert!(!format!("{:?}", head.headers).contains(KEY), "{}", provider.name());
    }
}

/// Model (`-` for none, `body`, or a name in the head), array whose items are counted, uncounted, once.
type Asked<'a> = (&'a str, Option<&'a str>, bool, bool);

fn assert_asks(provider: &dyn Provider, method: &str, path: &str, expected: Asked<'_>) {
    let check = |head: &Parts| {
        let RequestInfo { model, cost_of_items, uncounted, not_idempotent, .. } = provider.inspect(head);
        let model = match model {
            ModelIn::Head(name) => name.into_owned(),
            ModelIn::Body => "body".to_owned(),
            _ => "-".to_owned(),
        };
        assert_eq!(
            (model.as_str(), cost_of_items, uncounted, not_idempotent),
            expected,
            "{} {method} {path}",
            provider.name()
        );
    };
    let mut head = head(method, path, &[]);
    check(&head);
    provider.base().apply(&mut head).unwrap();
    check(&head);
}

#[test]
fn model_and_cost_of_gemini_requests_are_found() {
    let one = |model| (model, None, false, false);
    let uncounted = ("-", None, true, false);
    let makes = ("-", None, true, true);
    for gemini in [Gemini::new(), Gemini::at("http://127.0.0.1:9/gate").unwrap()] {
        for (method, path, expected) in [
            ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", one("gemini-2.5-flash")),
            ("POST", "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse", one("gemini-2.5-flash")),
            ("POST", "/v1alpha/models/m:embedContent", one("m")),
            ("POST", "/v9/models/m:predict", one("m")),
            ("POST", "/v1beta/models/m:newVerb", one("m")),
            ("POST", "/v1beta/models/models%2Fm:generateContent", one("m")),
            ("POST", "/v1beta/models/gemini%2D2:generateContent", one("gemini-2")),
            ("POST", "/v1beta/models/m%3AgenerateContent", one("m")),
            ("POST", "/v1beta/models/m%3agenerateContent", one("m")),
            ("POST", "/v1beta%2fmodels%2fm%3agenerateContent", one("m")),
            ("POST", "/v1beta/%6dodels/m:generateContent/", one("m")),
            ("POST", "/v1beta/models/ft:name:generateContent", one("ft:name")),
            ("POST", "/v1beta/models/%FF:generateContent", one("\u{fffd}")),
            ("POST", "/v1beta/tunedModels/mine-1:generateContent", one("tunedModels/mine-1")),
            ("POST", "/v1/projects/p/locations/l/publishers/google/models/m:predict", one("m")),
            ("POST", "/v1beta/models/m:batchEmbedContents", ("m", Some("requests"), false, false)),
            ("POST", "/v1beta/models/m:countTokens", ("m", None, true, false)),
            ("POST", "/v1beta/models/m:batchGenerateContent", ("m", None, true, true)),
            ("POST", "/v1beta/models/m:asyncBatchEmbedContent", ("m", None, true, true)),
            ("POST", "/v1beta/models/veo:predictLongRunning", ("veo", None, false, true)),
            ("GET", "/v1beta/models", uncounted),
            ("GET", "/v1beta/models/gemini-2.5-flash", uncounted),
            ("GET", "/v1beta/models/veo/operations/abc", uncounted),
            ("GET", "/v1beta/operations/abc", uncounted),
            ("POST", "/upload/v1beta/files?upload_id=x", makes),
            ("PUT", "/upload/v1beta/files?upload_id=x", makes),
            ("POST", "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore", makes),
            ("POST", "/v1beta/files:register", makes),
            ("GET", "/v1beta/files/abc:download?alt=media", uncounted),
            ("DELETE", "/v1beta/files/abc", uncounted),
            ("POST", "/v1beta/fileSearchStores", makes),
            ("POST", "/v1beta/fileSearchStores/abc:importFile", makes),
            ("POST", "/v1beta/cachedContents", ("body", None, false, true)),
            ("PATCH", "/v1beta/cachedContents/abc", uncounted),
            ("GET", "/v1beta/batches/abc", uncounted),
            ("POST", "/v1beta/batches/abc:cancel", uncounted),
            ("POST", "/v1beta/tunedModels", makes),
            ("POST", "/v1alpha/auth_tokens", makes),
            ("POST", "/v1beta/interactions", one("body")),
            ("GET", "/v1beta/interactions/abc", uncounted),
            ("POST", "/v1beta/interactions/abc/cancel", uncounted),
            ("GET", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", one("-")),
            ("POST", "/v1beta/openai/chat/completions", one("body")),
            ("POST", "/v1beta/openai/images/generations", one("body")),
            ("POST", "/v1beta/openai/embeddings", ("body", Some("input"), false, false)),
            ("POST", "/v1beta/openai/videos", ("body", None, false, true)),
            ("POST", "/v1beta/openai/files", makes),
            ("POST", "/v1beta/openai/batches", makes),
            ("POST", "/v1beta/openai/batches/b/cancel", uncounted),
            ("GET", "/v1beta/openai/models", uncounted),
            ("POST", "/v1beta/models/:generateContent", makes),
        ] {
            assert_asks(&gemini, method, path, expected);
        }
    }
}

#[test]
fn model_and_cost_of_openai_requests_are_found() {
    let one = |model| (model, None, false, false);
    let uncounted = ("-", None, true, false);
    let makes = ("-", None, true, true);
    for base in ["https://api.openai.com/v1", "https://openrouter.ai/api/v1", "https://api.z.ai/api/paas/v4"] {
        let openai = OpenAi::at(base).unwrap();
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", one("body")),
            ("POST", "/chat/completions", one("body")),
            ("POST", "/v1/responses", one("body")),
            ("POST", "/v1/embeddings", one("body")),
            ("POST", "/v1/audio/speech", one("body")),
            ("POST", "/v1/images/generations", one("body")),
            ("POST", "/v1/videos", ("body", None, false, true)),
            ("POST", "/v1/threads/t/runs", ("body", None, false, true)),
            ("POST", "/v1/files", makes),
            ("POST", "/v1/batches", makes),
            ("POST", "/v1/uploads/u/parts", makes),
            ("POST", "/v1/fine_tuning/jobs", makes),
            ("POST", "/v1/responses/r/cancel", uncounted),
            ("POST", "/v1/batches/b/cancel", uncounted),
            ("GET", "/v1/responses/r", uncounted),
            ("GET", "/v1/models", uncounted),
            ("DELETE", "/v1/files/f", uncounted),
            ("GET", "/v1/realtime?model=gpt%2Drealtime", one("gpt-realtime")),
            ("GET", "/v1/realtime?call_id=c", one("-")),
        ] {
            assert_asks(&openai, method, path, expected);
        }
    }
    let azure = OpenAi::at("https://r.openai.azure.com").unwrap();
    assert_eq!((azure.name(), azure.scheme()), ("azure", ""));
    assert_asks(&azure, "POST", "/openai/deployments/my%2Dgpt/chat/completions?api-version=1", one("my-gpt"));
    assert_asks(&azure, "POST", "/openai/v1/responses", one("body"));
    assert_asks(&azure, "POST", "/openai/v1/files", makes);
    let google = OpenAi::at("https://generativelanguage.googleapis.com/v1beta/openai").unwrap();
    assert_eq!(google.zone(), "America/Los_Angeles");
    assert_asks(&google, "POST", "/v1/embeddings", ("body", Some("input"), false, false));

    let form = head("POST", "/v1/audio/transcriptions", &[("content-type", "multipart/form-data; boundary=x")]);
    assert_eq!(OpenAi::new().inspect(&form), RequestInfo::new(ModelIn::Nowhere));
}

#[test]
fn model_and_cost_of_other_providers_requests_are_found() {
    let anthropic = Anthropic::new();
    for (method, path, expected) in [
        ("POST", "/v1/messages", ("body", None, false, false)),
        ("POST", "/v1/messages?beta=true", ("body", None, false, false)),
        ("POST", "/v1/messages/count_tokens", ("body", None, true, false)),
        ("POST", "/v1/messages/batches", ("-", None, true, true)),
        ("POST", "/v1/messages/batches/b/cancel", ("-", None, true, false)),
        ("POST", "/v1/files", ("-", None, true, true)),
        ("GET", "/v1/messages/batches/b", ("-", None, true, false)),
        ("GET", "/v1/models", ("-", None, true, false)),
    ] {
        assert_asks(&anthropic, method, path, expected);
    }
    let api = ApiKeyHeader::bearer("http://h/v3").unwrap();
    assert_asks(&api, "GET", "/x", ("-", None, false, false));
    assert_asks(&api.clone().model_in_body(), "POST", "/x", ("body", None, false, false));
}

#[test]
fn model_in_the_head_is_replaced() {
    let (gemini, openai) = (Gemini::new(), OpenAi::new());
    let of: [(&dyn Provider, &str, &str, &str); 8] = [
        (&gemini, "/v1beta/models/a:generateContent?alt=sse", "b", "/v1beta/models/b:generateContent?alt=sse"),
        (&gemini, "/v1beta/models/models%2Fa:countTokens", "models/b", "/v1beta/models/b:countTokens"),
        (&gemini, "/v1beta/tunedModels/a:generateContent", "b", "/v1beta/models/b:generateContent"),
        (&gemini, "/v1beta/models/a:generateContent", "tunedModels/b", "/v1beta/tunedModels/b:generateContent"),
        (&gemini, "/g/v1/models/a%3AgenerateContent", "b", "/g/v1/models/b:generateContent"),
        (&gemini, "/v1/models/a:x", "b c/ü?#%:", "/v1/models/b%20c%2F%C3%BC%3F%23%25%3A:x"),
        (&openai, "/openai/deployments/a/embeddings?v=1", "b/c", "/openai/deployments/b%2Fc/embeddings?v=1"),
        (&openai, "/v1/realtime?a=model=b&model=a&c", "x&y", "/v1/realtime?a=model=b&model=x%26y&c"),
    ];
    for (provider, uri, model, expected) in of {
        let method = if uri.contains("realtime") { Method::GET } else { Method::POST };
        let mut head = head(method.as_str(), uri, &[]);
        assert_eq!(provider.set_model(&mut head, model), SetModel::Done, "{uri}");
        assert_eq!(head.uri, expected);
        let asked = provider.inspect(&head).model;
        assert_eq!(asked, ModelIn::Head(provider.quota_model(model).into()), "inspect finds the model that was set");
        assert_eq!(provider.set_model(&mut head, ""), SetModel::No);
        assert_eq!(head.uri, expected);
    }
}

#[test]
fn set_model_reports_where_the_model_is_not_in_the_head() {
    let (gemini, openai, anthropic) = (Gemini::new(), OpenAi::new(), Anthropic::new());
    let of: [(&dyn Provider, &str, &str, SetModel); 7] = [
        (&gemini, "POST", "/v1beta/openai/chat/completions", SetModel::InBody),
        (&gemini, "POST", "/v1beta/cachedContents", SetModel::No),
        (&gemini, "GET", "/v1beta/models", SetModel::No),
        (&openai, "POST", "/v1/chat/completions", SetModel::InBody),
        (&openai, "GET", "/v1/models", SetModel::No),
        (&anthropic, "POST", "/v1/messages", SetModel::InBody),
        (&anthropic, "GET", "/v1/models", SetModel::No),
    ];
    for (provider, method, path, expected) in of {
        let mut head = head(method, path, &[]);
        assert_eq!(provider.set_model(&mut head, "b"), expected, "{path}");
        assert_eq!(head.uri, path);
    }
}

#[test]
fn spellings_of_a_model_share_one_quota_name() {
    for name in ["gemini-2.5-pro", "models/gemini-2.5-pro", "google/gemini-2.5-pro", "gemini/gemini-2.5-pro"] {
        assert_eq!(Gemini::new().quota_model(name), "gemini-2.5-pro");
    }
    assert_eq!(Gemini::new().quota_model("tunedModels/x"), "tunedModels/x");
}

fn applied(base: &str, uri: &str) -> Result<String, String> {
    let base: Base = base.parse().unwrap();
    let mut head = head("GET", uri, &[("host", "gateway.local")]);
    base.apply(&mut head).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Request);
        error.to_string()
    })?;
    assert!(head.headers.is_empty(), "the caller's host header is removed");
    Ok(head.uri.to_string())
}

#[test]
fn request_without_an_authority_goes_to_the_base() {
    for (base, uri, there) in [
        ("https://h", "/v1/models?a=b", "https://h/v1/models?a=b"),
        ("http://h:81/gate", "/v1", "http://h:81/gate/v1"),
        ("http://h/v1", "/v1/models?x", "http://h/v1/models?x"),
        ("http://h/v1", "/models", "http://h/v1/models"),
        ("http://h/v1", "/", "http://h/v1/"),
        // A version in the base replaces the caller's /v1.
        ("http://h/api/v1", "/v1/models?a=/v1/", "http://h/api/v1/models?a=/v1/"),
        ("http://h/api/v1", "/api/v1/models", "http://h/api/v1/models"),
        ("http://h/api/paas/v4", "/v1/chat/completions", "http://h/api/paas/v4/chat/completions"),
        ("http://h/v1beta/openai", "/v1/models", "http://h/v1beta/openai/models"),
        ("http://h/v1/account/gateway/openai", "/v1/models", "http://h/v1/account/gateway/openai/models"),
        ("http://h/v1/account/gateway/anthropic", "/v1/messages", "http://h/v1/account/gateway/anthropic/v1/messages"),
        ("http://h/api", "/v1/models", "http://h/api/v1/models"),
        ("http://h/api/v1", "/v10/models", "http://h/api/v10/models"),
        // The last of several versions in a row counts, and repeated slashes become one.
        ("http://h", "/v1/v1/models", "http://h/v1/models"),
        ("http://h", "/v1/v1beta/models/m:x?u=//", "http://h/v1beta/models/m:x?u=//"),
        ("http://h/v1", "/v1beta/models", "http://h/v1beta/models"),
        ("http://h", "//v1beta//models/", "http://h/v1beta/models/"),
        ("http://h/v1", "//v1/models", "http://h/v1/models"),
        ("http://h", "/v1/models/v2", "http://h/v1/models/v2"),
        ("http://h", "/v1/v2-large/run", "http://h/v1/v2-large/run"),
    ] {
        assert_eq!(applied(base, uri).as_deref(), Ok(there), "{uri} at {base}");
        assert_eq!(applied(base, there).as_deref(), Ok(there), "a second time changes nothing");
    }
}

#[test]
fn request_to_another_host_is_refused_with_advice() {
    let to = |uri: &str| applied("https://api.example/base", uri);
    for uri in ["https://api.example/x", "https://API.example:443/x"] {
        assert_eq!(to(uri).as_deref(), Ok(uri));
    }
    for (uri, named) in [
        ("http://127.0.0.1:8080/v1beta/models/m:generateContent", "http://127.0.0.1:8080"),
        ("http://api.example/x", "http://api.example"),
        ("https://api.example:444/x", "https://api.example:444"),
        ("https://api.example.evil/x", "https://api.example.evil"),
        ("https://user:password@api.example/x", "https://api.example"),
        ("https://api.example@evil/x", "https://evil"),
    ] {
        let error = to(uri).unwrap_err();
        assert!(error.contains(&format!("goes to {named},")), "{error}");
        assert!(error.contains("is at https://api.example:"), "{error}");
        assert!(error.contains(&format!("Gemini::at(\"{named}\")")) && !error.contains("password"), "{error}");
    }
    assert!(to("*").unwrap_err().contains("no path"));
    assert!(to("api.example:443").unwrap_err().contains("goes to"));
}

/// For HTTP/2 and later, a server puts its own scheme and authority into the URI of a request.
#[test]
fn a_request_that_a_server_received_over_http_2_goes_to_the_base() {
    let base: Base = "https://api.example/v1".parse().unwrap();
    for version in [Version::HTTP_2, Version::HTTP_3] {
        for uri in
            ["https://gateway.local:8443/v1/models?a=b", "http://api.example/models?a=b", "http://u@evil/models?a=b"]
        {
            let mut head = head("GET", uri, &[]);
            head.version = version;
            base.apply(&mut head).unwrap();
            assert_eq!(
                (head.uri.to_string().as_str(), head.version),
                ("https://api.example/v1/models?a=b", Version::HTTP_11)
            );
        }
        let mut connect = head("CONNECT", "gateway.local:443", &[]);
        connect.version = version;
        assert!(base.apply(&mut connect).unwrap_err().to_string().contains("no path"));
        let mut climbing = head("GET", "https://gateway.local/v1/../admin", &[]);
        climbing.version = version;
        assert_eq!(base.apply(&mut climbing).unwrap_err().kind(), ErrorKind::Request);
    }
}

#[test]
fn path_with_dot_segments_is_refused() {
    for path in [
        "/v1/../admin",
        "/..",
        "/./x",
        "/a/..",
        "/v1/%2e%2E/x",
        "/v1/.%2e/x",
        "/v1%2f..%2fx",
        "/a/..%5cx",
        "/a/%252e%252e/x",
        "/a/..;x/b",
    ] {
        for uri in [path.to_owned(), format!("https://h{path}")] {
            assert!(applied("https://h", &uri).unwrap_err().contains("segments"), "{uri}");
        }
        assert!(format!("https://h{path}").parse::<Base>().is_err(), "{path}");
    }
    for path in ["/v1beta/models/gemini-2.5-flash:generateContent", "/.well-known/x", "/a..b/c...d/100%25", "/..."] {
        assert!(applied("https://h", path).is_ok(), "{path}");
    }
}

#[test]
fn invalid_base_is_refused() {
    let with_key = [
        "http://h/v1?key=AIza",
        "https://h/#AIza",
        "https://AIza@h",
        "https://h/AIza/../v1",
        "AIza",
        "https://h /AIza",
    ];
    for url in
        ["http://h:99999", "http://h:0", "http://h:", "http://h#f", "http://h/a?b", "http://u:p@h", "ftp://h", "h", ""]
            .into_iter()
            .chain(with_key)
    {
        for error in
            [Gemini::at(url).err(), OpenAi::at(url).err(), Anthropic::at(url).err(), ApiKeyHeader::bearer(url).err()]
        {
            let error = error.unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error} {error:?}").contains("AIza"), "{error}");
        }
    }
}

proptest! {
    /// A caller's credential is removed however it is spelled and placed; the rest of the query stays as it is.
    #[test]
    fn callers_secret_is_removed(
        which in 0..11_usize,
        names in prop::collection::vec("(key|access_token|api_key|[$]key|apikey)", 0..4),
        others in prop::collection::vec("[a-z]{1,3}(=[a-zA-Z0-9%+._:/-]{0,8})?|", 0..5),
        encode in any::<u64>(),
        order in any::<u64>(),
        headers in prop::collection::vec(0..CREDENTIAL_HEADERS.len(), 0..4),
    ) {
        let (provider, path, expected) = providers().swap_remove(which);
        // Each letter is unchanged, in upper case, or percent-encoded.
        let spelled = names.iter().enumerate().map(|(at, name)| {
            let letters = name.bytes().enumerate().map(|(letter, byte)| match encode >> ((at * 13 + letter * 2) % 64) & 3 {
                0 => format!("%{byte:02x}"),
                1 => char::from(byte).to_uppercase().to_string(),
                _ => char::from(byte).to_string(),
            });
            format!("{}=CALLER-SECRET", letters.collect::<String>())
        });
        let is_other = |pair: &String| !["key", "appid"].contains(&pair.split('=').next().unwrap());
        let others: Vec<String> = others.into_iter().filter(is_other).collect();
        let mut pairs = others.clone();
        for (at, pair) in spelled.enumerate() {
            let place = (order >> (at * 8)) as usize % (pairs.len() + 1);
            pairs.insert(place, pair);
        }
        let has_query = !pairs.is_empty();
        let uri = if has_query { format!("{path}?{}", pairs.join("&")) } else { path.to_owned() };
        let headers: Vec<_> = headers.iter().map(|at| (CREDENTIAL_HEADERS[*at], "openai-insecure-api-key.CALLER-SECRET")).collect();
        let mut head = head("POST", &uri, &headers);
        send(&*provider, &mut head);

        prop_assert_eq!(occurrences(&head, "CALLER-SECRET"), Vec::<String>::new());
        prop_assert_eq!(occurrences(&head, KEY), vec![expected.to_owned()]);
        let query = head.uri.query().unwrap_or_default();
        let kept = query.strip_suffix(&expected[1..]).filter(|_| expected.starts_with('?')).unwrap_or(query);
        let others = others.join("&");
        prop_assert_eq!(kept.trim_end_matches('&'), others.trim_end_matches('&'));
    }

    #[test]
    fn inspect_finds_the_model_that_was_set(model in "\\PC{1,40}") {
        let gemini = Gemini::new();
        let mut head = head("POST", "/v1beta/models/a:generateContent", &[]);
        if gemini.set_model(&mut head, &model) == SetModel::Done {
            let found = gemini.inspect(&head).model;
            let ModelIn::Head(found) = found else { panic!("{found:?}") };
            prop_assert_eq!(found.trim(), gemini.quota_model(&model).trim());
        }
    }
}

#[test]
fn names_are_shown_as_in_json() {
    use tower_keypool::{ErrorClass, ErrorKind, Scope, Tier, Unit};
    let shown = [ErrorClass::RateLimit.to_string(), Scope::KeyModel.to_string(), Tier::Free.to_string()];
    assert_eq!(shown, ["rate_limit", "key_model", "free"]);
    assert_eq!(format!("{:>13}|{}", Unit::InputTokens, ErrorKind::UnknownKey), " input_tokens|unknown_key");
}

#[test]
fn texts_convert_to_ids_and_requests_and_a_provider_may_be_boxed() {
    use std::sync::Arc;
    let owned = "a".to_owned();
    let ids: [KeyId; 3] = ["a".into(), owned.clone().into(), Arc::<str>::from("a").into()];
    assert!(ids.iter().all(|id| id.as_ref() == "a"));
    let requests: [KeyRequest; 4] = ["a".into(), (&owned).into(), owned.clone().into(), Arc::<str>::from("a").into()];
    assert!(requests.iter().all(|request| request.model_name() == Some("a")));
    let provider: Box<dyn Provider> = Box::new(Gemini::new());
    assert!(KeyPool::builder(provider).allow_empty().build().is_ok());
}
