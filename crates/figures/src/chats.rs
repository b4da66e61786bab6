//! Chats in `OpenAI`'s dialect, and what it takes to ask a provider of another for them.

use bytes::Bytes;
use keypool_dialect::{Asked, Caller as _, Exchange, Shape, gemini, openai::OpenAi};

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1 KiB of text.
    Small,
    /// 100 KiB of it.
    Long,
    /// 5 MiB, nearly all of it an image.
    Image,
}

impl Size {
    /// The one of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "small" => Self::Small,
            "long" => Self::Long,
            "image" => Self::Image,
            other => panic!("no chat is called {other}"),
        }
    }

    /// A chat as `OpenAI`'s clients send it: a system prompt, some turns, the question.
    #[must_use]
    pub fn body(self) -> Bytes {
        let chat = |turns: &str, asked: &str| {
            format!(
                r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"system","content":"Be brief."}},{turns}{asked}],"temperature":0.5,"max_tokens":100}}"#
            )
        };
        let asked = |content: &str| format!(r#"{{"role":"user","content":{content}}}"#);
        let turn = |n: usize| {
            let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
            // Lines, as people write them.
            format!(r#"{{"role":"{role}","content":"{}"}},"#, r"some words of a line that is not short\n".repeat(25))
        };
        let text = |turns: String, most: usize| {
            let frame = chat(&turns, &asked(r#""""#)).len();
            chat(&turns, &asked(&format!(r#""{}""#, "x".repeat(most.saturating_sub(frame)))))
        };
        let body = match self {
            Self::Small => text(String::new(), 1 << 10),
            Self::Long => text((0..96).map(turn).collect(), 100 << 10),
            Self::Image => {
                let image = "iVBORw0KGgoAAAAN".repeat((5 << 20) / 16);
                let image = format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}"#);
                chat("", &asked(&format!(r#"[{{"type":"text","text":"What is it?"}},{image}]"#)))
            }
        };
        body.into()
    }
}

/// A chat that is translated over and over, and an answer of 1 KiB with it.
pub struct Chat {
    body: Bytes,
    answer: Bytes,
}

impl Chat {
    /// Of this size.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let answer = format!(
            concat!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"#,
                r#""usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":8,"totalTokenCount":17}},"#,
                r#""modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}}"#
            ),
            "x".repeat(768)
        );
        Self { body: size.body(), answer: answer.into() }
    }

    /// Once there, without the gateway around it; how much was written.
    ///
    /// # Panics
    /// When it is not understood.
    #[must_use]
    pub fn there(&self) -> usize {
        let Asked { conversation, .. } = OpenAi.conversation(&self.body, true).expect("a chat");
        let pieces = gemini::generate(&conversation, self.body.clone()).expect("it can be asked");
        let tokens = gemini::about_tokens(&conversation, &pieces);
        pieces.iter().map(Bytes::len).sum::<usize>() + tokens as usize
    }

    /// And back.
    ///
    /// # Panics
    /// When the answer is not understood.
    #[must_use]
    pub fn back(&self) -> usize {
        let shape = Shape { model: "gemini-2.5-flash".to_owned(), unique: "0".repeat(16), ..Shape::default() };
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
        exchange.whole(&self.answer).expect("an answer").len()
    }
}
