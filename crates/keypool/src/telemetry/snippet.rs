//! How a client of the provider's API is pointed at this gateway.

use std::fmt;

use crate::{config::ProviderName, gateway::token::PLACEHOLDER};

/// Lines to copy: one for curl, one for the provider's own client in Python.
#[derive(Debug)]
pub(super) struct Snippet<'a> {
    /// Where the gateway is.
    pub(super) url: &'a str,
    /// The provider whose form its clients speak.
    pub(super) provider: ProviderName,
    /// Whether it has a token of its own, which is never shown: it is read from `KEYPOOL_TOKEN`.
    pub(super) own_token: bool,
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url;
        let token =
            if self.own_token { "os.environ[\"KEYPOOL_TOKEN\"]".to_owned() } else { format!("\"{PLACEHOLDER}\"") };
        let messages = r#"{"model":"MODEL","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}"#;
        writeln!(f, "try it:")?;
        match self.provider {
            ProviderName::Gemini => {
                let header = self.header("x-goog-api-key: ");
                writeln!(f, "  curl -H {header} {url}/v1beta/models/gemini-2.5-flash:generateContent \\")?;
                writeln!(f, "    -d '{{\"contents\":[{{\"parts\":[{{\"text\":\"Hello\"}}]}}]}}'")?;
                write!(f, "  python: genai.Client(api_key={token}, http_options={{\"base_url\": \"{url}\"}})")
            }
            ProviderName::OpenAi => {
                let header = self.header("Authorization: Bearer ");
                writeln!(f, "  curl -H {header} -H 'Content-Type: application/json' {url}/v1/chat/completions \\")?;
                writeln!(f, "    -d '{messages}'")?;
                write!(f, "  python: OpenAI(api_key={token}, base_url=\"{url}/v1\")")
            }
            ProviderName::Anthropic => {
                let header = self.header("x-api-key: ");
                writeln!(f, "  curl -H {header} -H 'anthropic-version: 2023-06-01' \\")?;
                writeln!(f, "    -H 'Content-Type: application/json' {url}/v1/messages -d '{messages}'")?;
                write!(f, "  python: Anthropic(api_key={token}, base_url=\"{url}\")")
            }
        }
    }
}

impl Snippet<'_> {
    /// A header with the token, in the shell's quotes.
    fn header(&self, name: &str) -> String {
        if self.own_token { format!("\"{name}$KEYPOOL_TOKEN\"") } else { format!("'{name}{PLACEHOLDER}'") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_own_clients_lines() {
        let text = |provider, own_token| Snippet { url: "http://127.0.0.1:5000", provider, own_token }.to_string();
        let gemini = text(ProviderName::Gemini, false);
        assert!(gemini.contains("'x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN'"), "{gemini}");
        let openai = text(ProviderName::OpenAi, true);
        assert!(openai.contains("\"Authorization: Bearer $KEYPOOL_TOKEN\""), "{openai}");
        assert!(openai.contains("http://127.0.0.1:5000/v1/chat/completions"), "{openai}");
        assert!(openai.contains("base_url=\"http://127.0.0.1:5000/v1\""), "{openai}");
        let anthropic = text(ProviderName::Anthropic, false);
        assert!(anthropic.contains("http://127.0.0.1:5000/v1/messages"), "{anthropic}");
        assert!(anthropic.contains("anthropic-version"), "{anthropic}");
        assert!(!openai.contains("generateContent") && !anthropic.contains("generateContent"));
    }
}
