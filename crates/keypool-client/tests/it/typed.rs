//! What the typed client makes of answers and errors, by the words that providers find for them.

use keypool_client::ErrorKind;
use serde_json::json;

use crate::provider::{self, Says};

/// An error that came with a good status is one, in whichever form it is told, and whole answers hold what else they like.
#[tokio::test(start_paused = true)]
async fn nothing_but_an_error_is_no_answer() {
    let error = json!({ "error": { "code": 503, "message": "Busy.", "status": "UNAVAILABLE" } });
    for body in [error.clone(), json!([error.clone()])] {
        let pool = provider::pool(provider::keys(1)).build().unwrap();
        let said = body.clone();
        let (client, _) = provider::shown(&pool, move |_, _, _, _| Says::Answer(200, said.clone()));
        let whole = client.generate("x").request_id("req_1").await.unwrap_err();
        let streamed = match client.generate("x").request_id("req_1").stream().await {
            Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        let counted = client.generate("x").request_id("req_1").count_tokens().await.unwrap_err();
        for error in [whole, streamed, counted] {
            let ErrorKind::Refused { status, code, message, .. } = error.kind() else { panic!("{body}: {error}") };
            assert_eq!((status.as_u16(), code.as_deref(), &**message), (503, Some("UNAVAILABLE"), "Busy."), "{body}");
            assert!(error.request_id() == Some("req_1") && error.key_id().is_some(), "{error}");
        }
    }
    let said = json!({ "candidates": [{ "content": { "parts": [{ "text": "\"error\"" }] } }], "error": null });
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, _) = provider::shown(&pool, move |_, _, _, _| Says::Answer(200, said.clone()));
    assert_eq!(client.generate("x").await.unwrap().text(), "\"error\"");
}
