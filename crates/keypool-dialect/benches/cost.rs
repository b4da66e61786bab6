//! What a chunk of a stream costs: `cargo bench -p keypool-dialect`.

use std::time::Duration;

use keypool_dialect::{Error, Frontend, Mode};

/// Time of the processor that this process used, of which Linux tells in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn main() -> Result<(), Error> {
    const STREAMS: u32 = 2_000;
    const CHUNKS: u32 = 200;
    let text = "A chunk of a stream holds some words, seldom more than twenty of them. ";
    let event = format!(
        "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{text}\"}}],\"role\": \"model\"}},\"index\": 0}}],\
         \"usageMetadata\": {{\"promptTokenCount\": 20,\"candidatesTokenCount\": 4,\"totalTokenCount\": 24,\
         \"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 20}}]}},\
         \"modelVersion\": \"gemini-3.8-flash\",\"responseId\": \"abcdefghijklmnop\"}}\r\n\r\n"
    );
    for (frontend, field) in
        [(Frontend::Chat, "messages"), (Frontend::Responses, "input"), (Frontend::Messages, "messages")]
    {
        let body =
            format!(r#"{{"model":"gemini-3.8-flash","stream":true,"{field}":[{{"role":"user","content":"Hello"}}]}}"#);
        let request = frontend.parse(body.as_bytes(), Mode::Strict)?;
        let begun = cpu();
        let mut bytes = 0;
        for _ in 0..STREAMS {
            let mut answer = request.answer("0abc", 1_800_000_000);
            for _ in 0..CHUNKS {
                bytes += answer.push(event.as_bytes())?.len();
            }
        }
        let chunk = cpu().saturating_sub(begun) / (STREAMS * CHUNKS);
        println!("{frontend:?}: {chunk:?} a chunk of {} bytes, {} MB written", event.len(), bytes >> 20);
    }
    Ok(())
}
