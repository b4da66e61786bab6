//! Closing frames and messages as logs, threads and other people's tests hold them: the number is the file's in the index in which it
//! was found. What is blamed was written down before it was judged.

use tower_keypool::{Gemini, Key, OpenAi, Provider, Scope as S, VerdictKind as K};

use super::*;

/// What is blamed for what; `None`: nobody.
type Blamed = Option<(K, S)>;

const KEY: Blamed = Some((K::InvalidKey, S::Key));
const LIMIT: Blamed = Some((K::RateLimited, S::KeyLane));
const MONEY: Blamed = Some((K::QuotaExhausted, S::Owner));
const OFF: Blamed = Some((K::Suspended, S::Owner));

fn judge(provider: impl Provider, by_token: bool) -> Judge {
    let pool = KeyPool::builder(provider).key(Key::new("not-a-real-key-0123456789")).build().unwrap();
    Judge { pool, model: Some("gemini-live".to_owned()), by_token }
}

fn blamed(verdict: &Verdict) -> (K, S) {
    (verdict.kind(), verdict.scope_of())
}

/// A closing frame has room for so much.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

fn all_closed(judge: &Judge, rows: &[(&str, u16, &str, Blamed)]) {
    let wrong: Vec<_> = rows
        .iter()
        .map(|(who, code, reason, means)| (who, judge.refused(*code, cut(reason)), reason, means))
        .filter(|(_, said, _, means)| said.as_ref().map(|said| blamed(&said.verdict)) != **means)
        .map(|(who, said, reason, means)| format!("{who} {reason}: {:?}, not {means:?}", said.map(|said| said.verdict)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn gemini_closes_for_many_reasons_and_few_are_a_keys() {
    let judge = judge(Gemini::new(), false);
    all_closed(
        &judge,
        &[
            (
                "70886221748",
                1011,
                "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
                LIMIT,
            ),
            ("70971598902", 1011, "Resource has been exhausted (e.g. check quota).", LIMIT),
            ("61577501958", 1011, "Resource exhausted. Please try again later.", LIMIT),
            (
                "GoogleCloudPlatform/generative-ai#1576",
                1011,
                "Request trace id: f102afa6f090070d, [ORIGINAL ERROR] generic::resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent se",
                LIMIT,
            ),
            (
                "63092985540",
                1011,
                "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.",
                Some((K::QuotaExhausted, S::BillingAccount)),
            ),
            (
                "56345668695",
                1011,
                "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend",
                MONEY,
            ),
            ("68675143636", 1008, "Your project has been denied access. Please contact support.", OFF),
            ("71400895140", 1007, "API key not valid. Please pass a valid API key.", KEY),
            ("22695317489", 1007, "API Key not found. Please pass a valid API key.", KEY),
            ("51874872630, as the API words it", 1007, "API key expired. Please renew the API key.", KEY),
            (
                "composed, as the API words it",
                1008,
                "Your API key was reported as leaked. Please use another API key.",
                KEY,
            ),
            ("71051763673", 1007, "User location is not supported for the API use.", Some((K::Blocked, S::Exit))),
            (
                "52697514283",
                1008,
                "Generative Language API has not been used in project 305248837586 before or it is disabled.",
                OFF,
            ),
            (
                "71015327822",
                1008,
                "Agent Platform API has not been used in project demo before or it is disabled.",
                OFF,
            ),
            // Of Google's own inside.
            (
                "pipecat#976",
                1011,
                "Request trace id: a7393b0b090c3a69, [ORIGINAL ERROR] generic::resource_exhausted: com.google.cloud.privacy.dlp.common.excep",
                None,
            ),
            (
                "pipecat#976",
                1011,
                "Request trace id: 6efe366d692c029f, [ORIGINAL ERROR] throttling::THROTTLED_CLIENT: Request throttled at the client by Adapt",
                None,
            ),
            (
                "livekit/agents#1679",
                1011,
                "Request trace id: 21d399562688c813, [ORIGINAL ERROR] extensible_stubs::OVERLOADED_TOO_MANY_RETRIES_PER_REQUEST: You are mos",
                None,
            ),
            ("discuss 98979", 1011, "The service is currently unavailable.", None),
            ("67243987715", 1011, "Deadline expired before operation could complete.", None),
            ("discuss 167186", 1011, "Internal error encountered.", None),
            ("livekit/agents#2274", 1011, "Internal error occurred.", None),
            ("52490174093", 1011, "Failed to run inference for model: go/debugonly", None),
            ("52490174093", 1011, "Thread was cancelled when writing StartStep status", None),
            // Of the session, and of what was asked.
            (
                "livekit/agents#4414",
                1008,
                "models/gemini-live-2.5-flash-preview is not found for API version v1beta, or is not supported for bidiGenerateContent. Call",
                None,
            ),
            ("22141058027", 1007, "gemini-2.0-flash-exp is not supported in the live api.", None),
            (
                "52863314488, cut there",
                1008,
                "Publisher Model projects/p/locations/asia-south1/publishers/google/models/gemini-live-2.5-flash-n",
                None,
            ),
            (
                "34944537926",
                1008,
                "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal.",
                None,
            ),
            ("40053755142", 1008, "Request had insufficient authentication scopes.", None),
            (
                "kailashsp/realtime-conversation-voice-AI-agent#1",
                1008,
                "Request trace id: 1e5df89917798ea3, Method doesn't allow unregistered callers (callers without established identity). Pleas",
                None,
            ),
            ("google/adk-python#4679", 1008, "Operation is not implemented, or supported, or enabled.", None),
            ("google/adk-python#225", 1007, "Request contains an invalid argument.", None),
            ("66507567255", 1008, "The operation was aborted.", None),
            (
                "58687948712",
                1008,
                "Connection aborted because the client failed to close the connection after receiving a GoAway signal once the session duration",
                None,
            ),
            ("55742457291", 1008, "BidiGenerateContent session expired", None),
            ("63260309837", 1011, "Token has been used too many times", None),
            ("66490695802", 1007, "Precondition check failed.", None),
            ("70874409592", 1007, "Text output is not supported for native audio output model.", None),
            (
                "59098684491",
                1007,
                "The requested combination of response modalities (TEXT) is not supported by the model. models/gemini-3.1-flash-live-preview",
                None,
            ),
            (
                "67424739443",
                1007,
                "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.",
                None,
            ),
            ("70378534836", 1007, "No matching speaker voice found for name: alloy", None),
            ("44622056684", 1007, "Invalid resource field value in the request.", None),
            ("37392450107", 1007, "Sample rate changed from previously 24000 to 16000, which is not supported.", None),
            (
                "60663274814",
                1007,
                "The audio content type (CONTENT_TYPE_AUDIO) is not supported for this model configuration",
                None,
            ),
            (
                "livekit/agents#4159",
                1007,
                "* BidiGenerateContentRequest.setup.tools[0].function_declarations[3].parameters.properties[task_ids].items.enum: only allow",
                None,
            ),
            ("68727874493", 1007, "Failed to parse WAV audio.", None),
        ],
    );
    // Whole, with what its provider finds it by.
    let said = judge.refused(1011, "Request trace id: 1, [ORIGINAL ERROR] a::b: RESOURCE_EXHAUSTED: c").unwrap();
    assert!(said.body.contains("Request trace id: 1, "), "{}", said.body);
}

#[test]
fn others_close_with_words() {
    all_closed(
        &judge(OpenAi::new(), false),
        &[
            ("57996868724", 3000, "invalid_request_error.invalid_api_key", KEY),
            ("56345668695", 1008, "InvalidApiKey", KEY),
            ("59529978561", 1007, "Access denied, please make sure your account is in good standing.", MONEY),
            ("15658052572", 4000, "invalid_request_error.missing_model", None),
            ("61027925692", 4000, "invalid_request_error.beta_api_shape_disabled", None),
            (
                "56154154960",
                1007,
                "<400> InternalError.Algo.InvalidParameter: The provided URL does not appear to be valid.",
                None,
            ),
            ("71221457411", 1007, "Your session was closed because no response was generated for 180 seconds.", None),
            ("66992044719", 1011, "keepalive ping timeout", None),
            ("", 1000, "", None),
        ],
    );
}

#[test]
fn whoever_brings_a_token_is_told_of_it_and_the_key_hears_of_limits() {
    let judge = judge(Gemini::new(), true);
    assert!(judge.refused(1007, "API key not valid. Please pass a valid API key.").is_none());
    assert!(judge.refused(1011, "Resource has been exhausted (e.g. check quota).").is_some());
}

#[test]
fn a_message_that_is_an_error_blames_whom_it_names() {
    let openai = judge(OpenAi::new(), false);
    let rows: &[(&str, &str, Blamed)] = &[
        (
            "69635578504",
            r#"{"type":"error","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"You exceeded your current quota, please check your plan and billing details."}}"#,
            MONEY,
        ),
        (
            "70917718823",
            r#"{"type":"response.done","event_id":"event_3","response":{"object":"realtime.response","id":"resp_3","status":"failed","status_details":{"type":"failed","error":{"type":"invalid_request_error","code":"insufficient_quota","message":"You exceeded your current quota."}},"output":[]}}"#,
            MONEY,
        ),
        (
            "68653776031",
            r#"{"type":"error","event_id":"evt_1","error":{"type":"authentication_error","code":"invalid_api_key","message":"account org-secret rejected"}}"#,
            KEY,
        ),
        (
            "68322696428",
            r#"{"type":"response.done","response":{"id":"r","status":"failed","status_details":{"type":"failed","error":{"type":"tokens","code":"rate_limit_exceeded","message":"Rate limit reached for gpt-realtime-2.1-mini in organization org-KNkOJ3 on tokens per min (TPM): Limit 40000, Used 39000, Requested 9000. Please try again in 6.946s."}}}}"#,
            Some((K::RateLimited, S::OwnerLane)),
        ),
        (
            "25442879123, cut there",
            r#"{"type":"response.done","response":{"status":"failed","status_details":{"type":"failed","error":{"type":"invalid_request_error","code":"inference_not_authorized_error","message":"You have insufficient permissions for this operation. Missing scopes: model.request. Check that you have the correct role in your organization (Reader, Writer, Owner) and project (Member, Owner), and if you're using a restricted API key, that it has the necessary"}}}}"#,
            Some((K::InvalidKey, S::KeyLane)),
        ),
        (
            "codegraff2#117, composed of what it names",
            r#"{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","plan_type":"plus","resets_in_seconds":3600}}"#,
            Some((K::QuotaExhausted, S::OwnerLane)),
        ),
        (
            "twilio-samples/speech-assistant-openai-realtime-api-python#10",
            r#"{"type": "error", "event_id": "event_AGvaHyTGxxeq2s6GtXhVY", "error": {"type": "invalid_request_error", "code": "session_expired", "message": "Your session hit the maximum duration of 15 minutes.", "param": null, "event_id": null}}"#,
            None,
        ),
        (
            "2454610056",
            r#"{"type":"response.failed","response":{"id":"resp_123","status":"failed","error":{"type":"invalid_request_error","code":"websocket_connection_limit_reached","message":"Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue."}}}"#,
            None,
        ),
        (
            "openai-realtime-api-beta#116",
            r#"{"type":"response.done","response":{"status":"failed","status_details":{"type":"failed","error":{"type":"server_error","code":null,"message":"The server had an error while processing your request. Sorry about that!"}}}}"#,
            None,
        ),
        (
            "livekit/agents#1183",
            r#"{"type":"error","event_id":"event_AsCUUSMsDXMWDAonxTFMU","error":{"type":"invalid_request_error","code":"string_above_max_length","message":"Invalid 'session.tools[3].description': string too long. Expected a string with maximum length 1024, but got a string with length 2473 instead.","param":"session.tools[3].description","event_id":null}}"#,
            None,
        ),
        (
            "70917718823",
            r#"{"type":"response.done","event_id":"event_2","response":{"object":"realtime.response","id":"resp_2","status":"cancelled","status_details":{"type":"cancelled","reason":"turn_detected"},"output":[]}}"#,
            None,
        ),
        // Of a part of the session, and of what is said in it.
        (
            "70676731408, another code",
            r#"{"type":"conversation.item.input_audio_transcription.failed","event_id":"event_up_4","item_id":"item_1","content_index":0,"error":{"type":"transcription_error","code":"rate_limit_exceeded","message":"m"}}"#,
            None,
        ),
        (
            "composed",
            r#"{"type":"response.output_text.done","text":"\"error\":{\"code\":\"invalid_api_key\"}","error":{"code":"invalid_api_key"}}"#,
            None,
        ),
        ("composed", r#"{"error":"#, None),
    ];
    for (who, text, means) in rows {
        assert_eq!(openai.errs(text.as_bytes()).as_ref().map(blamed), *means, "{who} {text}");
    }
    assert!(judge(OpenAi::new(), true).errs(rows[2].1.as_bytes()).is_none(), "of a token");
    // Composed: as the API's other paths have it.
    let text = br#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#;
    for by_token in [false, true] {
        assert_eq!(judge(Gemini::new(), by_token).errs(text).as_ref().map(blamed), LIMIT);
    }
}
