use super::*;

fn post(path: &str) -> Asks<'_> {
    asks(&Method::POST, path, "")
}

#[test]
fn models_in_paths() {
    for (path, model) in [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
        ("/v1/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash"),
        ("/v1alpha/models/gemini-2.5-flash:bidi", "gemini-2.5-flash"),
        ("/v9/models/m:embedContent", "m"),
        ("/models/m:generateContent", "m"),
        ("/v1beta/models/models%2Fm:generateContent", "m"),
        ("/v1beta/models/models/m:generateContent", "m"),
        ("/v1beta/models/gemini%2D2:generateContent", "gemini-2"),
        ("/v1beta/models/m%3AgenerateContent", "m"),
        ("/v1beta/models/m%3agenerateContent", "m"),
        ("/v1beta/tunedModels/mine-1:generateContent", "tunedModels/mine-1"),
        ("/v1/publishers/google/models/gemini-x:generateContent", "gemini-x"),
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-x:predict", "gemini-x"),
        ("/v1beta/models/ft:name:generateContent", "ft:name"),
        ("/v1beta/models/%FF:generateContent", "\u{fffd}"),
        ("/v1beta/%6dodels/m:generateContent", "m"),
        ("/v1beta/models%2Fm:generateContent", "m"),
        ("/v1beta%2fmodels%2fm%3agenerateContent", "m"),
        ("/v1beta/models/m:generateContent/", "m"),
        ("/v1beta/models/m:generateContent%2F", "m"),
        ("/v1beta/models/m%20:generateContent", "m"),
    ] {
        let asks = post(path);
        assert_eq!(asks.model, ModelIn::Head(model.into()), "{path}");
        assert_eq!((asks.cost, asks.free), (Cost::One, false), "{path}");
    }
}

#[test]
fn costs() {
    let batch = post("/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(batch.cost, Cost::ItemsOf("requests"));
    assert!(post("/v1beta/models/m:countTokens").free);
    assert_eq!(post("/v1beta/openai/embeddings").cost, Cost::ItemsOf("input"));
}

#[test]
fn bodies() {
    for path in [
        "/v1beta/openai/chat/completions",
        "/v1beta/openai/images/generations",
        "/v1beta/cachedContents",
        "/v1beta/interactions",
    ] {
        let asks = post(path);
        assert_eq!((asks.model, asks.free), (ModelIn::Body, false), "{path}");
    }
}

#[test]
fn what_costs_nothing() {
    for (method, path) in [
        (Method::GET, "/v1beta/models"),
        (Method::GET, "/v1beta/models/gemini-2.5-flash"),
        (Method::GET, "/v1beta/models/veo/operations/abc"),
        (Method::GET, "/v1beta/files/abc"),
        (Method::GET, "/v1beta/files/abc:download"),
        (Method::DELETE, "/v1beta/files/abc"),
        (Method::POST, "/v1beta/files:register"),
        (Method::POST, "/upload/v1beta/files"),
        (Method::PUT, "/upload/v1beta/files"),
        (Method::POST, "/v1beta/batches/abc:cancel"),
        (Method::POST, "/v1beta/fileSearchStores/abc:importFile"),
        (Method::PATCH, "/v1beta/cachedContents/abc"),
        (Method::GET, "/v1beta/interactions/abc"),
        (Method::POST, "/v1beta/interactions/abc/cancel"),
        (Method::GET, "/v1beta/openai/models"),
        (Method::POST, "/v1beta/openai/files"),
        (Method::POST, "/v1beta/openai/batches/b/cancel"),
        (Method::POST, "/"),
        (Method::POST, ""),
        (Method::POST, "/v1beta/models/:generateContent"),
        (Method::POST, "/v1beta/models/m:"),
    ] {
        let asks = asks(&method, path, "");
        assert_eq!((asks.model, asks.free), (ModelIn::Nowhere, true), "{method} {path}");
    }
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    assert!(!asks(&Method::GET, live, "").free);
}

#[test]
fn a_base_with_a_path_stands_aside() {
    assert_eq!(asks(&Method::POST, "/g/v1beta/openai/chat/completions", "/g").model, ModelIn::Body);
    assert!(is_compat("/g/v1beta/openai/models", "/g"));
    assert!(is_compat("/v1/openai/models", ""));
    assert!(!is_compat("/v1beta/models/openai:generateContent", ""));
    assert!(!is_compat("/v1beta/openaix", ""));
}

#[test]
fn another_model() {
    for (path, model, expected) in [
        ("/v1beta/models/a:generateContent", "b", "/v1beta/models/b:generateContent"),
        ("/v1beta/models/models%2Fa:countTokens", "models/b", "/v1beta/models/b:countTokens"),
        ("/v1beta/tunedModels/a:generateContent", "b", "/v1beta/models/b:generateContent"),
        ("/v1beta/models/a:generateContent", "tunedModels/b", "/v1beta/tunedModels/b:generateContent"),
        ("/g/v1/models/a%3AgenerateContent", "b", "/g/v1/models/b:generateContent"),
        ("/v1/models/a:x", "b c/ü?#%:", "/v1/models/b%20c%2F%C3%BC%3F%23%25%3A:x"),
    ] {
        assert_eq!(retargeted(path, model).as_deref(), Some(expected), "{path}");
    }
    for path in ["/v1beta/models", "/v1beta/models/a:batchEmbedContents", "/v1beta/openai/chat/completions"] {
        assert_eq!(retargeted(path, "b"), None, "{path}");
    }
    assert_eq!(retargeted("/v1beta/models/a:x", ""), None);
}
