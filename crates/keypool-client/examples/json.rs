//! `cargo run -p keypool-client --example json`: answers that are to be JSON of a form, however the model wraps them.

use gemini_sim::{AnswerText, GeminiSim};
use keypool_client::{
    Client,
    batch::{Batch, JsonCheck, Task},
};
use serde_json::json;
use tower_keypool::{Gemini, Key, KeyPool};

const SECRET: &str = "AIzaSy-not-a-real-key-000000001";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sloppy = AnswerText::Fixed("Of course!\n```json\n{'name': 'Ada', age: 36,}\n```".to_owned());
    let provider = GeminiSim::builder().key(SECRET).answer(sloppy).start().await?;
    let pool = KeyPool::builder(Gemini::at(&provider.url())?).key(Key::new(SECRET)).build()?;

    let schema = json!({
        "type": "object",
        "required": ["name", "age"],
        "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
    });
    // A whole request, in the provider's own form: this simulator breaks no JSON where it is asked for it by name.
    let task =
        Task::from_json(r#"{"id": "ada", "contents": [{"parts": [{"text": "Who was the first programmer?"}]}]}"#)?;
    let mut run = Batch::new(Client::new(&pool)).json(JsonCheck::schema(&schema)?).run([task]);
    let result = run.next().await.ok_or("a result")?;
    println!("{}", serde_json::to_string_pretty(&result)?);
    assert_eq!(result.json.as_deref(), Some(&json!({ "name": "Ada", "age": 36 })));
    Ok(())
}
