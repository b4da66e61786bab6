//! Where what is said was found on the web, as clients are told it.

use async_openai::types::{
    chat::{CreateChatCompletionResponse, CreateChatCompletionStreamResponse},
    responses::{Response, ResponseStreamEvent},
};
use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, Shape, anthropic::Anthropic, gemini, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::{data, events, shape};

fn chat() -> Value {
    let said = json!([{ "role": "user", "content": "x" }]);
    json!({ "model": "gemini-2.5-flash", "messages": said, "web_search_options": {} })
}

fn response() -> Value {
    json!({ "model": "gemini-2.5-flash", "input": "x", "tools": [{ "type": "web_search" }] })
}

/// What the caller of this request gets of these, whole (the last of them) or as a stream of all.
fn told(caller: &dyn Caller, body: &Value, answers: &[Value]) -> (Value, Vec<Value>) {
    let bytes = Bytes::from(body.to_string());
    let asked = caller.conversation(&bytes, true).unwrap();
    let exchange = |stream| {
        let shape = Shape { repeated: asked.repeated.clone(), ..shape(stream) };
        Exchange::new(Box::new(gemini::Listener::of(&asked.conversation)), caller.voice(shape))
    };
    let whole = exchange(false).whole(answers.last().unwrap().to_string().as_bytes()).unwrap();
    let (mut exchange, mut out) = (exchange(true), Vec::new());
    exchange.hear(events(answers).into(), &mut out);
    exchange.end(&mut out);
    let pieces = data(std::str::from_utf8(&out).unwrap());
    let pieces = pieces.iter().filter(|piece| *piece != "[DONE]").map(|piece| serde_json::from_str(piece).unwrap());
    (serde_json::from_slice(&whole).unwrap(), pieces.collect())
}

/// Of "Grüße! It rains.", by bytes.
fn grounding() -> Value {
    json!({
        "webSearchQueries": ["weather"],
        "groundingChunks": [
            { "web": { "uri": "https://a.test/1", "title": "a.test" } },
            { "retrievedContext": { "uri": "gs://x" } },
            { "web": { "uri": "https://b.test/", "title": "b.test" } },
        ],
        "groundingSupports": [
            { "segment": { "endIndex": 8, "text": "Grüße!" }, "groundingChunkIndices": [0], "confidenceScores": [0.9] },
            { "segment": { "startIndex": 9, "endIndex": 18, "text": "It rains." }, "groundingChunkIndices": [-1, 0, 1, 2, 9] },
            { "segment": { "startIndex": 9, "endIndex": 99, "text": "nowhere" }, "groundingChunkIndices": [0] },
            { "segment": { "startIndex": 3, "endIndex": 8 }, "groundingChunkIndices": [0] },
        ],
    })
}

fn candidate(parts: Value, more: Value) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" } });
    candidate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "candidates": [candidate] })
}

fn whole() -> Value {
    candidate(
        json!([{ "text": "hm", "thought": true }, { "text": "Grüße! It rains." }]),
        json!({ "finishReason": "STOP", "groundingMetadata": grounding() }),
    )
}

fn pieces() -> Vec<Value> {
    vec![
        candidate(json!([{ "text": "Grü" }]), json!({})),
        candidate(json!([{ "text": "ße! It " }]), json!({ "groundingMetadata": { "webSearchQueries": ["weather"] } })),
        candidate(json!([{ "text": "rains." }]), json!({ "finishReason": "STOP", "groundingMetadata": grounding() })),
    ]
}

fn expected() -> [(usize, usize, &'static str, &'static str); 3] {
    [(0, 6, "https://a.test/1", "a.test"), (7, 16, "https://a.test/1", "a.test"), (7, 16, "https://b.test/", "b.test")]
}

#[test]
fn a_chat_has_them_beside_its_message() {
    let annotations: Vec<Value> = expected()
        .iter()
        .map(|(start, end, url, title)| {
            let citation = json!({ "start_index": start, "end_index": end, "url": url, "title": title });
            json!({ "type": "url_citation", "url_citation": citation })
        })
        .collect();
    let (value, _) = told(&OpenAi, &chat(), &[whole()]);
    serde_json::from_value::<CreateChatCompletionResponse>(value.clone()).unwrap();
    assert_eq!(value["choices"][0]["message"]["annotations"], json!(annotations));
    let (_, chunks) = told(&OpenAi, &chat(), &pieces());
    for chunk in &chunks {
        serde_json::from_value::<CreateChatCompletionStreamResponse>(chunk.clone()).unwrap();
    }
    let of = |chunk: &Value| chunk["choices"][0]["delta"]["annotations"].clone();
    let told: Vec<Value> = chunks.iter().map(of).filter(|told| !told.is_null()).collect();
    assert_eq!(told, [json!(annotations)]);
    let end = chunks.iter().position(|chunk| chunk["choices"][0]["finish_reason"] == "stop").unwrap();
    assert!(!of(&chunks[end - 1]).is_null(), "before the end: {chunks:?}");
}

#[test]
fn a_response_has_them_in_its_text() {
    let annotations: Vec<Value> = expected()
        .iter()
        .map(|(start, end, url, title)| {
            json!({ "type": "url_citation", "start_index": start, "end_index": end, "url": url, "title": title })
        })
        .collect();
    let (value, _) = told(&Responses, &response(), &[whole()]);
    serde_json::from_value::<Response>(value.clone()).unwrap();
    assert_eq!(value["output"][1]["content"][0]["annotations"], json!(annotations), "{value}");
    let (_, events) = told(&Responses, &response(), &pieces());
    for event in &events {
        serde_json::from_value::<ResponseStreamEvent>(event.clone()).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let added: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "response.output_text.annotation.added").collect();
    assert_eq!(added.iter().map(|event| event["annotation"].clone()).collect::<Vec<_>>(), annotations);
    assert!(added.iter().enumerate().all(|(at, event)| event["annotation_index"] == at && event["output_index"] == 0));
    let message = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(message["content"][0]["annotations"], json!(annotations));
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(of("response.content_part.added")["part"]["annotations"], json!([]));
    assert_eq!(of("response.content_part.done")["part"]["annotations"], json!(annotations));
    assert_eq!(&of("response.output_item.done")["item"], message);
}

#[test]
fn a_message_has_the_pages_behind_its_text() {
    let body = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }],
        "tools": [{ "type": "web_search_20250305", "name": "web_search" }] });
    let (value, _) = told(&Anthropic, &body, &[whole()]);
    let [_, text, query, found] = value["content"].as_array().unwrap().as_slice() else { panic!("{value}") };
    let pages = [("https://a.test/1", "a.test"), ("https://b.test/", "b.test")];
    let citations = pages.map(|(url, title)| {
        json!({ "type": "web_search_result_location", "url": url, "title": title, "encrypted_index": "", "cited_text": "" })
    });
    assert_eq!(text, &json!({ "type": "text", "text": "Grüße! It rains.", "citations": citations }));
    assert_eq!((&query["type"], &query["input"]), (&json!("server_tool_use"), &json!({ "query": "weather" })));
    assert_eq!((&found["type"], &found["tool_use_id"]), (&json!("web_search_tool_result"), &query["id"]));
    let results = pages.map(|(url, title)| {
        json!({ "type": "web_search_result", "url": url, "title": title, "encrypted_content": "", "page_age": null })
    });
    assert_eq!(found["content"], json!(results));
    let (_, events) = told(&Anthropic, &body, &pieces());
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).cloned().collect::<Vec<_>>();
    let started: Vec<Value> = of("content_block_start").iter().map(|event| event["content_block"].clone()).collect();
    assert_eq!(&started[1..], [query.clone(), found.clone()]);
    let cited = of("content_block_delta").into_iter().filter(|event| event["delta"]["type"] == "citations_delta");
    assert_eq!(cited.map(|event| event["delta"]["citation"].clone()).collect::<Vec<_>>(), citations);
    assert_eq!(of("content_block_stop").len(), 3);
    // All of it comes back with the next turn, and is in the text already; so does a search that failed.
    let mut next = body;
    let failed = json!({ "type": "web_search_tool_result_error", "error_code": "max_uses_exceeded" });
    let mut content = value["content"].clone();
    content
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "web_search_tool_result", "tool_use_id": "x", "content": failed }));
    next["messages"] = json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": content },
        { "role": "user", "content": "y" },
    ]);
    let asked = crate::support::asked(&Anthropic, &next).unwrap();
    assert_eq!(asked["contents"][1], json!({ "role": "model", "parts": [{ "text": "Grüße! It rains." }] }));
}

/// Of several parts each is counted by itself.
#[test]
fn a_place_is_one_of_its_part() {
    let support = json!([{ "segment": { "partIndex": 1, "startIndex": 0, "endIndex": 9, "text": "It rains." }, "groundingChunkIndices": [0] }]);
    let found = json!({ "groundingChunks": grounding()["groundingChunks"], "groundingSupports": support });
    let answer = candidate(
        json!([{ "text": "Grüße! " }, { "text": "It rains." }]),
        json!({ "finishReason": "STOP", "groundingMetadata": found }),
    );
    let (value, _) = told(&OpenAi, &chat(), &[answer]);
    let citation = &value["choices"][0]["message"]["annotations"][0]["url_citation"];
    assert_eq!((&citation["start_index"], &citation["end_index"]), (&json!(7), &json!(16)), "{value}");
}

#[test]
fn an_answer_is_told_without_them_where_nobody_searched_or_they_make_no_sense() {
    let mut plain = chat();
    plain.as_object_mut().unwrap().remove("web_search_options");
    let (value, _) = told(&OpenAi, &plain, &[whole()]);
    assert_eq!(value["choices"][0]["message"].get("annotations"), None);
    for odd in
        [json!([]), json!({ "groundingSupports": [{ "segment": 7 }] }), json!({ "groundingChunks": null }), json!(null)]
    {
        let answer = candidate(
            json!([{ "text": "Grüße! It rains." }]),
            json!({ "finishReason": "STOP", "groundingMetadata": odd }),
        );
        let (value, _) = told(&OpenAi, &chat(), &[answer]);
        assert_eq!(value["choices"][0]["message"]["content"], "Grüße! It rains.");
        assert_eq!(value["choices"][0]["message"].get("annotations"), None);
    }
}
