//! Images and sound in `OpenAI`'s dialect, over the whole way: gateway, stack, simulator.

use gemini_sim::{AnswerText, Fault, Finish, GeminiSim, Limits, Project, Rule};
use http::{Request, StatusCode};
use keypool::{fetch::Fetcher, gateway::token::PLACEHOLDER};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_keypool::{Gemini, Key, KeyPool, Models};

use crate::{
    dialects::{events, post, served},
    serving::ONE,
    support::{Answer, Served, ask},
};

#[tokio::test]
async fn images_by_both_kinds_of_model() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    for (model, requests) in [("imagen-4.0-generate-001", 2), ("gemini-2.5-flash-image", 5)] {
        let before = sim.report().total.arrivals;
        let body = json!({ "model": model, "prompt": "a dot", "n": 5, "size": "1792x1024", "user": "u" });
        let answer = post(&served, "/v1/images/generations", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("x-keypool-ignored"), "user");
        let images = answer.json()["data"].as_array().unwrap().clone();
        assert_eq!(images.len(), 5);
        assert!(images.iter().all(|image| image["b64_json"].as_str().unwrap().starts_with("iVBOR")));
        assert_eq!(sim.report().total.arrivals - before, requests, "{model}");
    }
    for (body, status, param) in [
        (json!({ "model": "gemini-2.5-flash-image", "prompt": "p", "response_format": "url" }), 400, "response_format"),
        (json!({ "model": "imagen-of-nowhere", "prompt": "p" }), 404, ""),
        // It only writes.
        (json!({ "model": "gemini-2.5-flash", "prompt": "p" }), 400, ""),
    ] {
        let answer = post(&served, "/v1/images/generations", &body).await;
        let named = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status.as_u16(), named.as_str()), (status, param), "{answer:?}");
    }
}

#[tokio::test]
async fn images_from_others() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let edit = async |model: &str, more: &[(&str, &str)]| {
        let pixel = ("name=\"image[]\"; filename=\"a.png\"\r\nContent-Type: image/png", "pixel");
        let fields = [("name=\"model\"", model), ("name=\"prompt\"", "a dot in red"), pixel];
        let part =
            |(head, value): &(&str, &str)| format!("--xx\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
        let body: String = fields.iter().chain(more).map(part).chain(["--xx--\r\n".to_owned()]).collect();
        let request = Request::post(served.url("/v1/images/edits"))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .header("content-type", "multipart/form-data; boundary=xx");
        ask(request, body).await
    };
    let more = [("name=\"n\"", "2"), ("name=\"size\"", "1024x1024"), ("name=\"user\"", "u")];
    let drawn = edit("gemini-2.5-flash-image", &more).await;
    assert_eq!((drawn.status, drawn.header("x-keypool-ignored")), (StatusCode::OK, "user"), "{drawn:?}");
    let images = drawn.json()["data"].as_array().unwrap().clone();
    assert!(images.len() == 2 && images.iter().all(|image| image["b64_json"].as_str().unwrap().starts_with("iVBOR")));
    for (model, more, param) in [
        ("gemini-2.5-flash-image", &[("name=\"mask\"; filename=\"m.png\"", "x")][..], "mask"),
        ("gemini-2.5-flash-image", &[("name=\"background\"", "transparent")], "background"),
        ("imagen-4.0-generate-001", &[], "image"),
    ] {
        let refused = edit(model, more).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!(param)), "{refused:?}");
    }
    assert_eq!(sim.report().total.arrivals, 2);
}

/// Who only writes takes the place of none that draws or speaks: it is as without a list.
#[tokio::test]
async fn pictures_and_speech_step_down_to_no_model_of_texts() {
    let (draws, speaks) = ("gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts");
    let project = Project::new("1").limit(draws, Limits::zero()).limit(speaks, Limits::zero()).key(ONE);
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let asked = [
        ("/v1/images/generations", json!({ "model": draws, "prompt": "a dot" })),
        ("/v1/audio/speech", json!({ "model": speaks, "input": "a", "voice": "Kore" })),
    ];
    for (path, body) in asked {
        let mut statuses = Vec::new();
        for models in [Models::new(), Models::new().for_all(["gemini-2.5-flash"])] {
            let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).build().unwrap();
            let served = Served::falling_back(&pool, &sim.url(), models).await;
            // First it is told that the model is out, then that is known.
            for _ in 0..2 {
                let answer = post(&served, path, &body).await;
                statuses.push((answer.status, answer.header("x-keypool-model").to_owned()));
            }
        }
        assert_eq!(statuses[..2], statuses[2..], "{path}");
        assert!(statuses.iter().all(|(status, _)| !status.is_success()), "{path}: {statuses:?}");
    }
}

#[tokio::test]
async fn images_by_url_where_that_is_allowed() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    // A server of pictures on the open network.
    let pictures = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = pictures.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = pictures.accept().await {
            let _ = stream.read(&mut [0; 1_024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x89PNG\r\n\x1a\n\0").await;
        }
    });
    let fetcher = Fetcher::finding(move |_, _| Box::pin(async move { Ok(vec![open]) }), |_| true);
    let look = |url: &str| {
        let image = json!({ "type": "image_url", "image_url": { "url": url } });
        json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": [image] }] })
    };
    let fetching = Served::fetching(fetcher, Key::new(ONE), &sim.url()).await;
    let answer = post(&fetching, "/v1/chat/completions", &look("http://pictures.example/a.png")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    // As it is by itself, this machine is nobody's open network.
    let inside = format!("http://{open}/a.png");
    let usual = Served::fetching(Fetcher::default(), Key::new(ONE), &sim.url()).await;
    let off = served(&sim).await;
    for (gateway, said) in [(usual, "could not be fetched"), (off, "not fetched from elsewhere")] {
        let answer = post(&gateway, "/v1/chat/completions", &look(&inside)).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status.as_u16(), &error["param"]), (400, &json!("messages[0].content[0].image_url.url")));
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
}

#[tokio::test]
async fn words_are_spoken() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    for model in ["gemini-2.5-flash-preview-tts", "gemini-3.8-flash-tts"] {
        for (format, kind, length) in [("wav", "audio/wav", 50), ("pcm", "audio/pcm", 6)] {
            let body = json!({
                "model": model, "input": "Hi.", "voice": "alloy", "instructions": "Whisper", "response_format": format,
            });
            let answer = post(&served, "/v1/audio/speech", &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!((answer.header("content-type"), answer.body.len()), (kind, length));
        }
    }
    // As the official clients ask, unless they are told to ask for something.
    let mut body = json!({ "model": "gemini-3.8-flash-tts", "input": "Hi.", "voice": "alloy" });
    let spoken = post(&served, "/v1/audio/speech", &body).await;
    assert_eq!((spoken.header("content-type"), spoken.header("x-keypool-ignored")), ("audio/wav", "response_format"));
    body["response_format"] = "mp3".into();
    let usual = post(&served, "/v1/audio/speech", &body).await;
    assert_eq!((usual.header("content-type"), usual.header("x-keypool-ignored")), ("audio/wav", "response_format"));
    body["response_format"] = "opus".into();
    let refused = post(&served, "/v1/audio/speech", &body).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("response_format")));
}

async fn upload(served: &Served, path: &str, fields: &[(&str, &str)]) -> Answer {
    let part = |(name, value): &(&str, &str)| {
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nsound\r\n--xx--\r\n";
    let body: String = fields.iter().map(part).chain([file.to_owned()]).collect();
    let request = Request::post(served.url(path))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "multipart/form-data; boundary=xx");
    ask(request, body).await
}

#[tokio::test]
async fn recordings_are_written_down() {
    let sim = GeminiSim::builder().key(ONE).chunks(3).answer(AnswerText::Fixed("Good day.".into())).start().await;
    let sim = sim.unwrap();
    let served = served(&sim).await;
    for path in ["/v1/audio/transcriptions", "/openai/v1/audio/translations"] {
        let answer = upload(&served, path, &[("model", "gemini-2.5-flash")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json()["text"], "Good day.");
        let bare = upload(&served, path, &[("model", "gemini-2.5-flash"), ("response_format", "text")]).await;
        assert_eq!(bare.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(&bare.body[..], b"Good day.\n");
    }
    let path = "/v1/audio/transcriptions";
    let pieces = upload(&served, path, &[("model", "gemini-2.5-flash"), ("stream", "true")]).await;
    let pieces = events(&pieces);
    let done: Value = serde_json::from_str(&pieces[pieces.len() - 2]).unwrap();
    assert_eq!((&done["type"], &done["text"]), (&json!("transcript.text.done"), &json!("Good day.")));
    let refused = upload(&served, path, &[("model", "gemini-2.5-flash"), ("response_format", "srt")]).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("response_format")));
}

#[tokio::test]
async fn what_was_blocked_or_cut_is_said_and_no_silence() {
    for (reason, code) in [("SAFETY", "content_policy_violation"), ("MAX_TOKENS", "context_length_exceeded")] {
        let finish = Rule::new(Fault::Finish(Finish::Reason(reason.into())));
        let sim = GeminiSim::builder().key(ONE).script([finish]).start().await.unwrap();
        let served = served(&sim).await;
        let body = json!({ "model": "gemini-3.8-flash-tts", "input": "Hi.", "voice": "alloy" });
        let spoken = post(&served, "/v1/audio/speech", &body).await;
        assert_eq!((spoken.status.as_u16(), &spoken.json()["error"]["code"]), (400, &json!(code)), "{spoken:?}");
        for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
            let heard = upload(&served, path, &[("model", "gemini-2.5-flash")]).await;
            assert_eq!((heard.status.as_u16(), &heard.json()["error"]["code"]), (400, &json!(code)), "{heard:?}");
        }
    }
}
