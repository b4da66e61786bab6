//! The typed client against the simulator.

use gemini_sim::{AnswerText, Fault, GeminiSim, Project, Refusal, Rule};
use http::Method;
use http_body_util::BodyExt;
use keypool_client::{
    ErrorKind,
    api::{Content, FunctionDeclaration, GenerateContentRequest, GenerateContentResponse, Tool},
};
use serde_json::{Value, json};

use crate::stage;

#[tokio::test]
async fn a_prompt_is_answered_and_says_by_whom() {
    let (sim, client) = stage::served(GeminiSim::builder(), 2).await;
    sim.refuse_key(0, Some(Refusal::ConsumerSuspended));
    let mut attempts = 0;
    for n in 0..4 {
        let answer = client
            .generate("What is a key?")
            .system("Be brief.")
            .temperature(0.2)
            .max_output_tokens(100)
            .top_p(0.9)
            .top_k(40)
            .stop(["END"])
            .safety("HARM_CATEGORY_HARASSMENT", "BLOCK_ONLY_HIGH")
            .request_id(format!("req_{n}"))
            .await
            .unwrap();
        assert!(!answer.text().is_empty());
        assert_eq!(answer.request_id(), Some(&*format!("req_{n}")));
        assert_eq!(answer.key_id().unwrap().to_string(), "k1");
        assert_eq!((answer.finish_reason(), answer.used_model()), (Some("STOP"), Some(stage::MODEL)));
        assert!(answer.usage().unwrap().input() > 0);
        attempts += answer.attempts();
    }
    assert_eq!(attempts, 5, "the suspended key was asked once");
}

#[tokio::test]
async fn what_is_no_number_is_not_sent() {
    let (sim, client) = stage::served(GeminiSim::builder(), 1).await;
    for number in [f64::NAN, f64::INFINITY] {
        let all = [client.generate("x").temperature(number), client.generate("x").top_p(number)];
        for request in all {
            let error = request.await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unmade(_)), "{error}");
        }
        let error = client.generate("x").temperature(number).stream().await.map(|_| ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unmade(_)), "{error}");
    }
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn json_comes_typed_whatever_stands_around_it() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Colour {
        name: String,
    }
    let text = "Here:\n```json\n[{'name': 'red'},]\n```".to_owned();
    let (_sim, client) = stage::served(GeminiSim::builder().answer(AnswerText::Fixed(text)), 1).await;
    let answer = client.generate("Colours?").await.unwrap();
    assert_eq!(answer.json::<Vec<Colour>>().unwrap(), [Colour { name: "red".to_owned() }]);
    assert_eq!(answer.json_value().unwrap(), json!([{ "name": "red" }]));
    let error = answer.json::<Vec<u8>>().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Json(_)) && error.key_id().is_some());
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece_and_ends_with_its_error() {
    let (sim, client) = stage::served(GeminiSim::builder().chunks(4), 1).await;
    let whole = client.generate("Tell me").await.unwrap().text();
    let mut stream = client.generate("Tell me").stream().await.unwrap();
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(piece) = stream.next().await {
        text.push_str(&piece.unwrap().text());
        pieces += 1;
    }
    assert_eq!((text, pieces), (whole, 4));
    sim.script(Rule::new(Fault::ErrorEventAfter(2, Refusal::Overloaded)));
    let mut stream = client.generate("Tell me").request_id("req_9").stream().await.unwrap();
    let mut seen = Vec::new();
    while let Some(piece) = stream.next().await {
        seen.push(piece);
    }
    let error = seen.pop().unwrap().unwrap_err();
    assert!(error.status().is_some_and(|status| status == 503) && error.request_id() == Some("req_9"), "{error}");
}

#[tokio::test]
async fn errors_are_typed() {
    let (sim, client) = stage::served(GeminiSim::builder(), 1).await;
    sim.script(Rule::new(Fault::Refuse(Refusal::InvalidArgument)).nth(1));
    let error = client.generate("x").request_id("req_1").await.unwrap_err();
    assert!(error.is_invalid_request() && error.status().unwrap() == 400, "{error}");
    assert_eq!((error.request_id(), error.attempts()), (Some("req_1"), 1));
    assert!(error.to_string().starts_with("request req_1: 400") && error.to_string().contains("key k0"), "{error}");
    assert!(!format!("{error:?}").contains("AIzaSy"));
    sim.refuse_key(0, Some(Refusal::ConsumerSuspended));
    let error = client.generate("x").await.unwrap_err();
    assert!(error.status().is_some() || error.is_exhausted());
    let error = client.generate("x").await.unwrap_err();
    assert!(error.is_exhausted() && error.retry_after().is_none(), "{error}");
    assert!(matches!(client.generate("x").model("..").await.unwrap_err().kind(), ErrorKind::Unmade(_)));
}

#[tokio::test]
async fn tools_pictures_and_what_no_type_names_go_through() {
    let (sim, client) = stage::served(GeminiSim::builder(), 1).await;
    let function = FunctionDeclaration {
        name: "weather".to_owned(),
        parameters_json_schema: Some(json!({ "type": "object", "properties": { "city": { "type": "string" } } })),
        ..FunctionDeclaration::default()
    };
    let asked = client.generate("Weather in Rome?").data("image/png", [1, 2, 3]).tool(Tool::functions([function]));
    assert!(asked.await.is_ok());
    let mut request =
        GenerateContentRequest::new([Content::user(["one"]), Content::model(["two"]), Content::user(["three"])]);
    request.config().other.insert("seed".to_owned(), 7.into());
    assert!(client.generate_content(request).thinking_budget(0).await.is_ok());
    assert_eq!(sim.report().total.accepted, 2);

    let text = r#"{"candidates":[{"content":{"parts":[{"text":"a","new":1}],"role":"model"},"later":[2]}],"unheardOf":{"x":3}}"#;
    let response: GenerateContentResponse = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&response).unwrap(), serde_json::from_str::<Value>(text).unwrap());
}

#[tokio::test]
async fn tokens_embeddings_models_and_anything_else() {
    let sim = GeminiSim::builder().project(Project::new("projects/1000").key(&*stage::secret(0)));
    let sim = sim.start().await.unwrap();
    let client = keypool_client::Client::new(stage::pool(&sim.url(), 1).build().unwrap());
    assert!(client.count_tokens("How many are these?").await.unwrap() > 2);
    let models = client.models().await.unwrap();
    assert!(models.iter().any(|model| model.id() == stage::MODEL), "{models:?}");
    let embedding = models.iter().find(|model| model.id().contains("embed")).unwrap().id().to_owned();
    let one = client.embed(&embedding, "a text").await.unwrap();
    assert!(!one.values.is_empty());
    assert_eq!(client.embed_all(&embedding, ["a", "b", "c"]).await.unwrap().len(), 3);
    let answer = client.raw(Method::GET, "/v1beta/models/gemini-2.5-flash", "").await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["name"], "models/gemini-2.5-flash");
}

#[tokio::test]
async fn other_providers_pools_answer_batches_too() {
    use keypool_client::batch::Batch;
    use tower_keypool::{Key, KeyPool, OpenAi};
    let sim = stage::keyed(GeminiSim::builder(), 2).start().await.unwrap();
    let base = format!("{}/v1beta/openai", sim.url());
    let pool =
        KeyPool::builder(OpenAi::at(&base).unwrap()).keys((0..2).map(|n| Key::new(stage::secret(n)))).build().unwrap();
    let client = keypool_client::Client::builder(&pool).model(stage::MODEL).build();
    let (ended, statistics) = Batch::new(client).system("Be brief.").run(["one", "two", "three"]).finish().await;
    assert_eq!(statistics.ok, 3, "{ended:?} {statistics}");
    assert!(statistics.input_tokens > 0);
}

#[tokio::test]
async fn a_requests_own_id_stands_in_answer_error_and_log() {
    let (log, _guard) = stage::logged();
    let (sim, client) = stage::served(GeminiSim::builder(), 1).await;
    let answer = client.generate("hello").request_id("req_1").await.unwrap();
    assert_eq!(answer.request_id(), Some("req_1"));
    sim.script(Rule::new(Fault::Refuse(Refusal::InvalidArgument)));
    let error = client.generate("hello").request_id("req_2").await.unwrap_err();
    assert_eq!(error.request_id(), Some("req_2"));
    assert!(error.to_string().starts_with("request req_2: "), "{error}");
    let counted = client.generate("hello").request_id("req_3").count_tokens().await.unwrap_err();
    assert_eq!(counted.request_id(), Some("req_3"));
    assert!(log.says_of("req_1", ": answered") && log.says_of("req_2", "not answered"), "{}", log.text());
    assert!(!log.text().contains(&stage::secret(0)), "a secret is logged");
}

/// Whoever copies a name out of an address is told what to leave out.
#[test]
fn a_models_name_has_no_verb() {
    for name in ["gemini-2.5-flash:generateContent", "models/gemini-2.5-flash:generateContent"] {
        let error = keypool_client::check_model(name).expect_err("no model is called so").to_string();
        assert!(error.contains("leave out \":generateContent\""), "{error}");
    }
}
