//! Many API keys for LLM providers, used as if they were one key that never runs dry.
