//! `/v1/responses`: what was answered before is named by its id.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    serving::ONE,
    support::{Answer, Served, ask},
};

type Heard = Arc<Mutex<Vec<Value>>>;

/// Calls a tool when it hears of the weather, draws when it is told to, else answers with a number; keeps what it heard.
async fn provider() -> (String, Heard) {
    let (listener, heard) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Heard::default());
    let (url, kept) = (format!("http://{}", listener.local_addr().unwrap()), Arc::clone(&heard));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let stream = request.uri().path().contains("stream");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut kept = kept.lock().unwrap();
                    kept.push(serde_json::from_slice::<Value>(&body).unwrap()["contents"].clone());
                    let asked = kept.last().unwrap().to_string();
                    let said = if asked.contains("weather?") {
                        json!({ "functionCall": { "name": "weather", "args": { "city": "Oslo" } } })
                    } else if asked.contains("draw!") {
                        json!({ "inlineData": { "mimeType": "image/webp", "data": "UklGRg==" } })
                    } else {
                        json!({ "text": format!("answer {}", kept.len()) })
                    };
                    let content = json!({ "role": "model", "parts": [said] });
                    let told = json!({ "candidates": [{ "content": content, "finishReason": "STOP", "index": 0 }] });
                    let (kind, text) = if stream {
                        ("text/event-stream", format!("data: {told}\r\n\r\n"))
                    } else {
                        ("application/json", told.to_string())
                    };
                    Ok::<_, Infallible>(
                        Response::builder().header("content-type", kind).body(Full::<Bytes>::from(text)).unwrap(),
                    )
                }
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, heard)
}

/// The response that a stream ends with.
fn last(stream: &Answer) -> Value {
    let text = String::from_utf8_lossy(&stream.body).into_owned();
    let event = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap().to_owned();
    serde_json::from_str::<Value>(&event).unwrap()["response"].clone()
}

#[tokio::test]
async fn items_and_responses_are_named_in_the_place_of_being_said_again() {
    let (url, heard) = provider().await;
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &url, Records::default()).await;
    let grant = Grant { name: "alice".into(), token_hash: hash_of(b"kp-alice"), ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    let asking = async |token: &str, more: Value| {
        let mut body = json!({ "model": "gemini-2.5-flash" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = Request::post(served.url("/v1/responses")).header("authorization", format!("Bearer {token}"));
        ask(request.header("content-type", "application/json"), body.to_string()).await
    };
    let turn = |role: &str, part: Value| json!({ "role": role, "parts": [part] });
    let said = |role: &str, text: &str| turn(role, json!({ "text": text }));
    let count = || heard.lock().unwrap().len();
    let heard = || heard.lock().unwrap().last().unwrap().clone();
    for stream in [false, true] {
        let begun = count();
        let first = asking(PLACEHOLDER, json!({ "input": "hello", "stream": stream })).await;
        let first = if stream { last(&first) } else { first.json() };
        let answer = format!("answer {}", begun + 1);
        assert_eq!(first["output"][0]["content"][0]["text"], answer, "{first}");
        let expected = json!([said("user", "hello"), said("model", &answer), said("user", "more")]);
        let id = &first["output"][0]["id"];
        let mut second = None;
        // The kind may be left out.
        for item in
            [json!({ "id": id }), json!({ "type": null, "id": id }), json!({ "type": "item_reference", "id": id })]
        {
            let input = json!([{ "role": "user", "content": "hello" }, item, { "role": "user", "content": "more" }]);
            let answer = asking(PLACEHOLDER, json!({ "input": input })).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!(heard(), expected);
            second = Some(answer);
        }
        let second = second.unwrap();
        // The whole of it, by the id of the response.
        let second = second.json();
        let third = asking(PLACEHOLDER, json!({ "input": "and", "previous_response_id": second["id"] })).await;
        assert_eq!(third.status, StatusCode::OK, "{third:?}");
        let told = second["output"][0]["content"][0]["text"].as_str().unwrap();
        let mut expected = expected.as_array().unwrap().clone();
        expected.extend([said("model", told), said("user", "and")]);
        assert_eq!(heard(), json!(expected));

        // Calls, too.
        let called = asking(PLACEHOLDER, json!({ "input": "weather?", "stream": stream })).await;
        let called = if stream { last(&called) } else { called.json() };
        let call = &called["output"][0];
        let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "20" });
        for more in [
            json!({ "input": [{ "role": "user", "content": "x" }, { "type": "item_reference", "id": call["id"] }, result] }),
            json!({ "input": [result], "previous_response_id": called["id"] }),
        ] {
            let answer = asking(PLACEHOLDER, more).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!(heard()[1]["parts"][0]["functionCall"]["args"], json!({ "city": "Oslo" }));
            assert_eq!(heard()[2]["parts"][0]["functionResponse"]["response"], json!({ "result": "20" }));
        }

        // Nobody else's, and not what was not to be kept.
        let theirs = json!({ "input": [{ "type": "item_reference", "id": first["output"][0]["id"] }] });
        assert_eq!(asking("kp-alice", theirs).await.status, StatusCode::NOT_FOUND);
        let theirs = asking("kp-alice", json!({ "input": "x", "previous_response_id": first["id"] })).await;
        assert_eq!(
            (theirs.status, &theirs.json()["error"]["param"]),
            (StatusCode::BAD_REQUEST, &json!("previous_response_id"))
        );
        let unkept = asking(PLACEHOLDER, json!({ "input": "hello", "store": false, "stream": stream })).await;
        let unkept = if stream { last(&unkept) } else { unkept.json() };
        let again = asking(PLACEHOLDER, json!({ "input": "x", "previous_response_id": unkept["id"] })).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST);
    }
}

/// Some clients name what was drawn, and leave out what it looks like.
#[tokio::test]
async fn what_was_drawn_is_named_in_the_place_of_being_shown_again() {
    let (url, heard) = provider().await;
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO).build().unwrap();
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    let asking = async |input: Value, stream: bool| {
        let body = json!({ "model": "gemini-2.5-flash-image", "input": input, "stream": stream });
        let request =
            Request::post(served.url("/v1/responses")).header("authorization", format!("Bearer {PLACEHOLDER}"));
        ask(request.header("content-type", "application/json"), body.to_string()).await
    };
    let then =
        |drawn: Value| json!([{ "role": "user", "content": "a cat" }, drawn, { "role": "user", "content": "bluer" }]);
    for stream in [false, true] {
        let drawn = asking(json!("draw!"), stream).await;
        let drawn = if stream { last(&drawn) } else { drawn.json() }["output"][0].clone();
        assert_eq!(drawn["result"], "UklGRg==", "{drawn}");
        for result in [None, Some(Value::Null)] {
            let mut named = json!({ "type": "image_generation_call", "id": drawn["id"] });
            named.as_object_mut().unwrap().extend(result.map(|result| ("result".to_owned(), result)));
            let answer = asking(then(named), stream).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let image = json!({ "inlineData": { "mimeType": "image/webp", "data": "UklGRg==" } });
            assert_eq!(heard.lock().unwrap().last().unwrap()[1], json!({ "role": "model", "parts": [image] }));
        }
        // What is shown is not looked for; what nobody knows is missed as any other item.
        let shown = json!({ "type": "image_generation_call", "id": "ig_of_nobody", "result": "iVBORw0KGgo=" });
        assert_eq!(asking(then(shown), stream).await.status, StatusCode::OK);
        let missed = asking(then(json!({ "type": "image_generation_call", "id": "ig_of_nobody" })), stream).await;
        let error = &missed.json()["error"];
        assert_eq!((missed.status, &error["param"]), (StatusCode::NOT_FOUND, &json!("input")), "{missed:?}");
        assert!(error["message"].as_str().unwrap().contains("ig_of_nobody"), "{error}");
    }
}

#[tokio::test]
async fn a_response_is_asked_for_and_deleted_afterwards() {
    let (url, heard) = provider().await;
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &url, Records::default()).await;
    let grant = Grant { name: "alice".into(), token_hash: hash_of(b"kp-alice"), ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    let asking = async |method: Method, path: &str, token: &str, body: Option<Value>| {
        let request =
            Request::builder().method(method).uri(served.url(path)).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json");
        ask(request, body.map(|body| body.to_string()).unwrap_or_default()).await
    };
    let get = async |path: String| asking(Method::GET, &path, PLACEHOLDER, None).await;
    for (stream, front) in [(false, "/v1"), (true, "/openai/v1")] {
        let input = json!([{ "role": "user", "content": "one" }, { "role": "assistant", "content": "1" }, { "role": "user", "content": "two" }]);
        let body = json!({ "model": "gemini-2.5-flash", "input": input, "stream": stream, "metadata": { "a": "b" } });
        let made = asking(Method::POST, "/v1/responses", PLACEHOLDER, Some(body)).await;
        let made = if stream { last(&made) } else { made.json() };
        let id = made["id"].as_str().unwrap().to_owned();
        let before = heard.lock().unwrap().len();
        let again = get(format!("{front}/responses/{id}")).await;
        assert_eq!((again.status, again.json()), (StatusCode::OK, made.clone()));
        let items = get(format!("{front}/responses/{id}/input_items?limit=2")).await.json();
        let texts = |items: &Value| -> Vec<Value> {
            items["data"].as_array().unwrap().iter().map(|item| item["content"][0]["text"].clone()).collect()
        };
        assert_eq!((texts(&items), &items["has_more"]), (vec![json!("two"), json!("1")], &json!(true)), "{items}");
        assert_eq!(items["data"][1]["content"][0]["type"], "output_text");
        let after = items["last_id"].as_str().unwrap();
        let rest = get(format!("{front}/responses/{id}/input_items?after={after}")).await.json();
        assert_eq!((texts(&rest), &rest["has_more"]), (vec![json!("one")], &json!(false)));
        let first = get(format!("{front}/responses/{id}/input_items?order=asc&limit=1")).await.json();
        assert_eq!(texts(&first), [json!("one")]);
        for wrong in ["input_items?limit=0", "input_items?order=up", "input_items?after=x", "?stream=true"] {
            let path = format!("{front}/responses/{id}/{wrong}");
            let answer = get(path.replace("/?", "?")).await;
            assert_eq!(
                (answer.status, answer.json()["error"]["type"].as_str()),
                (StatusCode::BAD_REQUEST, Some("invalid_request_error")),
                "{wrong}"
            );
        }
        // Nobody else's.
        let path = format!("{front}/responses/{id}");
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(asking(method, &path, "kp-alice", None).await.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(asking(Method::GET, &path, "kp-nobody", None).await.status, StatusCode::UNAUTHORIZED);
        let gone = asking(Method::DELETE, &path, PLACEHOLDER, None).await;
        assert_eq!((gone.status, &gone.json()["deleted"]), (StatusCode::OK, &json!(true)));
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(asking(method, &path, PLACEHOLDER, None).await.status, StatusCode::NOT_FOUND);
        }
        let body = json!({ "model": "gemini-2.5-flash", "input": "x", "previous_response_id": id });
        assert_eq!(
            asking(Method::POST, "/v1/responses", PLACEHOLDER, Some(body)).await.status,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(heard.lock().unwrap().len(), before, "nobody else is asked for them");
    }
}
