//! The model that a path of Azure's names.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::providers::model_of;

/// What stands behind `/openai/deployments/`: some of Azure's clients (`@azure/openai`, the first `openai` for Python) name
/// the model there alone.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Deployment(String);

impl Deployment {
    /// Of a path's segment; `None`: that is no text.
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(Self(percent_decode_str(segment).decode_utf8().ok()?.into_owned()))
    }

    /// A body that names a model: its own, where it has one.
    pub(in crate::gateway) fn named_in(&self, body: Bytes) -> Bytes {
        if model_of(&body).is_some() {
            return body;
        }
        let form = body.strip_prefix(b"--").and_then(|form| form.windows(2).position(|end| end == b"\r\n"));
        if let Some(length) = form {
            let border = &body[..length + 2];
            let field = b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
            return [border, field, self.0.as_bytes(), b"\r\n", &body].concat().into();
        }
        let Some(fields) = body.trim_ascii_start().strip_prefix(b"{") else { return body };
        let comma = if fields.trim_ascii_start().starts_with(b"}") { "" } else { "," };
        let model = serde_json::Value::from(&*self.0);
        [format!("{{\"model\":{model}{comma}").as_bytes(), fields].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_model_gets_one() {
        let deployment = Deployment::of("a%2F%22b").unwrap();
        for (body, named) in [
            ("{}", r#"{"model":"a/\"b"}"#),
            (" {\"n\":1}", r#"{"model":"a/\"b","n":1}"#),
            (r#"{"model":"own"}"#, r#"{"model":"own"}"#),
            ("[1]", "[1]"),
            ("", ""),
            (
                "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x--\r\n",
                "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na/\"b\r\n\
                 --x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x--\r\n",
            ),
        ] {
            assert_eq!(deployment.named_in(Bytes::from(body)), named, "{body}");
        }
    }
}
