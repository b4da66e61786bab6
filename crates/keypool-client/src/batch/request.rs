//! Which fields a provider's request has at its top: what else stands beside them is the task's own.

/// `GenerateContentRequest`, in both spellings that the API takes.
const GEMINI: [&str; 16] = [
    "cachedContent",
    "cached_content",
    "contents",
    "generationConfig",
    "generation_config",
    "model",
    "safetySettings",
    "safety_settings",
    "serviceTier",
    "service_tier",
    "store",
    "systemInstruction",
    "system_instruction",
    "toolConfig",
    "tool_config",
    "tools",
];

/// `OpenAI`'s chat completions, Anthropic's messages, and what servers that speak as they do take beside that.
const CHAT: [&str; 71] = [
    "audio",
    "betas",
    "cache_control",
    "chat_template_kwargs",
    "container",
    "context_management",
    "enable_thinking",
    "extra_body",
    "frequency_penalty",
    "function_call",
    "functions",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "ignore_eos",
    "include_reasoning",
    "inference_geo",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "min_p",
    "min_tokens",
    "modalities",
    "model",
    "n",
    "output_config",
    "output_format",
    "parallel_tool_calls",
    "plugins",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "random_seed",
    "reasoning",
    "reasoning_effort",
    "reasoning_format",
    "repetition_penalty",
    "response_format",
    "safe_prompt",
    "safety_identifier",
    "search_parameters",
    "seed",
    "service_tier",
    "speed",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "stream_options",
    "structured_outputs",
    "system",
    "temperature",
    "thinking",
    "thinking_budget",
    "tool_choice",
    "tools",
    "top_a",
    "top_k",
    "top_logprobs",
    "top_p",
    "transforms",
    "typical_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// Whether a request has such a field. `gemini`: it has `contents`, and not `messages`.
pub(super) fn has(gemini: bool, name: &str) -> bool {
    let fields: &[&str] = if gemini { &GEMINI } else { &CHAT };
    fields.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_looked_up_in_order() {
        assert!(GEMINI.is_sorted() && CHAT.is_sorted());
        assert!(has(true, "contents") && !has(true, "messages") && has(false, "web_search_options"));
    }
}
