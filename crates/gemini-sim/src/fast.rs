//! Canned answers for throughput benches: made once, given to everyone.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response};

use crate::answer::{Content, Generated, Reply, generate};
use crate::body::{Piece, SimBody};
use crate::engine::Engine;
use crate::query::Query;
use crate::route::{Call, Form, Route};
use crate::settings::Settings;

/// One answer a form.
#[derive(Debug)]
pub(crate) struct FastAnswers {
    whole: Bytes,
    events: Vec<Bytes>,
    list: Vec<Bytes>,
}

impl FastAnswers {
    pub(crate) fn new(settings: &Settings) -> Self {
        let answer = |form| {
            let generated = Generated {
                content: Content::Text(settings.answer.text(&serde_json::Value::Null)),
                finish: None,
                thoughts: false,
                cut: false,
                copies: 1,
                prompt_tokens: 1,
                cached_tokens: 0,
                model: "gemini-2.5-flash".to_owned(),
                id: "fast".to_owned(),
            };
            let Reply { chunks, .. } = generate(&generated, form, settings.chunks);
            chunks
        };
        Self { whole: answer(Form::Whole).concat().into(), events: answer(Form::Events), list: answer(Form::List) }
    }

    fn respond(&self, form: Form) -> Response<SimBody> {
        let pieces = |chunks: &[Bytes]| -> VecDeque<Piece> { chunks.iter().cloned().map(Piece::Data).collect() };
        let (content_type, body) = match form {
            Form::Whole => {
                let piece = VecDeque::from([Piece::Data(self.whole.clone())]);
                ("application/json; charset=UTF-8", SimBody::announced(piece))
            }
            Form::Events => ("text/event-stream", SimBody::pieces(pieces(&self.events)).breathing()),
            Form::List => ("application/json; charset=UTF-8", SimBody::pieces(pieces(&self.list)).breathing()),
        };
        let mut response = Response::new(body);
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

impl Engine {
    /// The canned answer, where the builder asked for speed.
    pub(crate) fn fast_answer(&self, parts: &Parts) -> Option<Response<SimBody>> {
        let answers = self.fast.as_ref()?;
        let path = parts.uri.path();
        let form = if path.contains(":streamGenerate") && parts.method == Method::POST {
            let query = Query::parse(parts.uri.query());
            match Route::parse(&parts.method, path, &query) {
                Some(Route { call: Call::Generate(form), .. }) => form,
                _ => Form::Whole,
            }
        } else {
            Form::Whole
        };
        Some(answers.respond(form))
    }
}
