//! What `OpenAI`'s clients are told in its own words: of what cannot be, of what is not there, and of what they asked.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::{
    dialects::post,
    retold::{chat, over, said, whole},
};

#[tokio::test]
async fn what_openai_refuses_costs_no_request() {
    let (served, asked) = over(vec![whole(&said("fine"))]).await;
    let function = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let tools = json!([function("f")]);
    for (path, body, param) in [
        ("/v1/chat/completions", chat(json!({ "max_tokens": 0 })), "max_tokens"),
        ("/v1/chat/completions", chat(json!({ "max_completion_tokens": 0 })), "max_completion_tokens"),
        ("/v1/chat/completions", chat(json!({ "tools": tools, "tool_choice": function("g") })), "tool_choice"),
        (
            "/v1/responses",
            json!({ "model": "m", "input": "x", "tools": [{ "type": "function", "name": "f" }],
                "tool_choice": { "type": "function", "name": "g" } }),
            "tool_choice",
        ),
        ("/v1/embeddings", json!({ "model": "m", "input": "x", "dimensions": 0 }), "dimensions"),
    ] {
        let answer = post(&served, path, &body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!(param)), "{answer:?}");
    }
    let unknown = post(&served, "/v1/embeddings", &json!({ "model": "m", "input": [[1, 999_999]] })).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["error"]["param"]), (400, &json!("input[0]")), "{unknown:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_file_may_be_named_by_its_address_and_only_a_missing_model_is_called_so() {
    let (served, _) = over(vec![whole(&said("fine"))]).await;
    let file = |id: &str| {
        let part = json!({ "type": "file", "file": { "file_id": id } });
        json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] })
    };
    // Nobody here made it: that is found out, and is no mistake in the request.
    for id in ["files/abc", "https://generativelanguage.googleapis.com/v1beta/files/abc"] {
        let answer = post(&served, "/v1/chat/completions", &file(id)).await;
        assert_eq!(answer.status.as_u16(), post(&served, "/v1/chat/completions", &file("files/abc")).await.status);
        assert_ne!(answer.status, 400, "{id}: {answer:?}");
        assert_ne!(answer.json()["error"]["code"], "model_not_found", "{id}: {answer:?}");
    }
    assert_eq!(post(&served, "/v1/chat/completions", &file("https://h.example/files/abc")).await.status, 400);
    let item = json!({ "model": "m", "input": [{ "type": "item_reference", "id": "no" }] });
    let answer = post(&served, "/v1/responses", &item).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (404, &Value::Null), "{answer:?}");

    let gone = r#"{"error":{"code":404,"message":"models/m is not found","status":"NOT_FOUND"}}"#;
    let gone = format!("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{gone}", gone.len());
    let (served, _) = over(vec![gone]).await;
    let answer = post(&served, "/v1/chat/completions", &chat(json!({}))).await;
    assert_eq!(answer.json()["error"]["code"], "model_not_found", "{answer:?}");
}

#[tokio::test]
async fn a_response_says_what_it_was_asked_with() {
    let (served, _) = over(vec![whole(&said("fine"))]).await;
    let mut tools = json!([{ "type": "function", "name": "f", "parameters": { "type": "object", "properties": {} } }]);
    let first = post(&served, "/v1/responses", &json!({ "model": "m", "input": "x", "tools": tools })).await.json();
    // With what they left unsaid, as that provider repeats them.
    let unsaid = json!({ "description": null, "strict": true });
    tools[0].as_object_mut().unwrap().extend(unsaid.as_object().unwrap().clone());
    assert_eq!((&first["tools"], &first["previous_response_id"]), (&tools, &Value::Null), "{first}");
    let next = json!({ "model": "m", "input": "y", "previous_response_id": first["id"] });
    let next = post(&served, "/v1/responses", &next).await.json();
    assert_eq!((&next["previous_response_id"], &next["tools"]), (&first["id"], &json!([])), "{next}");
}
