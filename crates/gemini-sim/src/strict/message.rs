//! The messages of the API, as far as requests hold them.

use super::schema::{Kind, Message};

use Kind::{Any, Bytes, Flag, List, Map, Number, OneOf, Struct, Text, Whole, Word};

pub(crate) static GENERATE: Message = Message {
    name: "GenerateContentRequest",
    fields: &[
        ("model", Text),
        ("contents", List(&Kind::Message(&CONTENT))),
        ("system_instruction", Kind::Message(&CONTENT)),
        ("tools", List(&Kind::Message(&TOOL))),
        ("tool_config", Kind::Message(&TOOL_CONFIG)),
        ("safety_settings", List(&Kind::Message(&SAFETY_SETTING))),
        ("generation_config", Kind::Message(&GENERATION_CONFIG)),
        ("cached_content", Text),
        ("service_tier", Text),
        ("store", Flag),
    ],
};

pub(crate) static PREDICT: Message =
    Message { name: "PredictRequest", fields: &[("instances", List(&Struct)), ("parameters", Struct)] };

pub(crate) static COUNT_TOKENS: Message = Message {
    name: "CountTokensRequest",
    fields: &[
        ("model", Text),
        ("contents", List(&Kind::Message(&CONTENT))),
        ("generate_content_request", Kind::Message(&GENERATE)),
    ],
};

pub(crate) static EMBED: Message = Message {
    name: "EmbedContentRequest",
    fields: &[
        ("model", Text),
        ("content", Kind::Message(&CONTENT)),
        ("task_type", TASK),
        ("title", Text),
        ("output_dimensionality", Whole),
        ("embed_content_config", Struct),
    ],
};

pub(crate) static BATCH_EMBED: Message = Message {
    name: "BatchEmbedContentsRequest",
    fields: &[("model", Text), ("requests", List(&Kind::Message(&EMBED)))],
};

pub(crate) static CACHED_CONTENT: Message = Message {
    name: "CachedContent",
    fields: &[
        ("name", Text),
        ("model", Text),
        ("display_name", Text),
        ("contents", List(&Kind::Message(&CONTENT))),
        ("system_instruction", Kind::Message(&CONTENT)),
        ("tools", List(&Kind::Message(&TOOL))),
        ("tool_config", Kind::Message(&TOOL_CONFIG)),
        ("ttl", Text),
        ("expire_time", Text),
    ],
};

pub(crate) static CACHE_UPDATE: Message =
    Message { name: "CachedContent", fields: &[("name", Text), ("ttl", Text), ("expire_time", Text)] };

pub(crate) static UPLOAD: Message = Message { name: "CreateFileRequest", fields: &[("file", Kind::Message(&FILE))] };

static FILE: Message = Message {
    name: "File",
    fields: &[("name", Text), ("display_name", Text), ("mime_type", Text), ("size_bytes", Number)],
};

/// What the compatible endpoint takes; `frequency_penalty`, `top_k` and others
/// are among what it refuses.
pub(crate) static CHAT: Message = Message {
    name: "ChatCompletionRequest",
    fields: &[
        ("model", Text),
        ("messages", List(&Kind::Message(&CHAT_MESSAGE))),
        ("stream", Flag),
        ("stream_options", Kind::Message(&STREAM_OPTIONS)),
        ("max_tokens", Whole),
        ("max_completion_tokens", Whole),
        ("temperature", Number),
        ("top_p", Number),
        ("n", Whole),
        ("stop", Any),
        ("seed", Whole),
        ("presence_penalty", Number),
        ("response_format", Struct),
        ("tools", List(&Struct)),
        ("tool_choice", Any),
        ("parallel_tool_calls", Flag),
        ("reasoning_effort", Text),
        ("extra_body", Struct),
        ("modalities", Any),
        ("logprobs", Flag),
        ("top_logprobs", Whole),
        ("user", Text),
        ("store", Flag),
        ("metadata", Struct),
        ("service_tier", Text),
    ],
};

static CHAT_MESSAGE: Message = Message {
    name: "ChatMessage",
    fields: &[
        ("role", Word("ChatRole", &["system", "developer", "user", "assistant", "tool"])),
        ("content", Any),
        ("name", Text),
        ("refusal", Text),
        ("tool_calls", List(&Struct)),
        ("tool_call_id", Text),
        ("extra_content", Struct),
    ],
};

static STREAM_OPTIONS: Message = Message { name: "StreamOptions", fields: &[("include_usage", Flag)] };

pub(crate) static CHAT_EMBEDDINGS: Message = Message {
    name: "EmbeddingsRequest",
    fields: &[("model", Text), ("input", Any), ("dimensions", Whole), ("encoding_format", Text), ("user", Text)],
};

static CONTENT: Message =
    Message { name: "Content", fields: &[("role", Text), ("parts", List(&Kind::Message(&PART)))] };

static PART: Message = Message {
    name: "Part",
    fields: &[
        ("text", OneOf("data", &Text)),
        ("inline_data", OneOf("data", &Kind::Message(&BLOB))),
        ("file_data", OneOf("data", &Kind::Message(&FILE_DATA))),
        ("function_call", OneOf("data", &Kind::Message(&FUNCTION_CALL))),
        ("function_response", OneOf("data", &Kind::Message(&FUNCTION_RESPONSE))),
        ("executable_code", OneOf("data", &Struct)),
        ("code_execution_result", OneOf("data", &Struct)),
        ("video_metadata", Struct),
        ("media_resolution", Any),
        ("part_metadata", Struct),
        ("thought", Flag),
        ("thought_signature", Bytes),
        ("speech_metadata", Struct),
    ],
};

static BLOB: Message =
    Message { name: "Blob", fields: &[("mime_type", Text), ("data", Bytes), ("display_name", Text)] };

static FILE_DATA: Message =
    Message { name: "FileData", fields: &[("mime_type", Text), ("file_uri", Text), ("display_name", Text)] };

static FUNCTION_CALL: Message =
    Message { name: "FunctionCall", fields: &[("id", Text), ("name", Text), ("args", Struct)] };

static FUNCTION_RESPONSE: Message = Message {
    name: "FunctionResponse",
    fields: &[
        ("id", Text),
        ("name", Text),
        ("response", Struct),
        ("parts", List(&Struct)),
        ("will_continue", Flag),
        ("scheduling", Text),
    ],
};

static TOOL: Message = Message {
    name: "Tool",
    fields: &[
        ("function_declarations", List(&Kind::Message(&FUNCTION_DECLARATION))),
        ("google_search", Kind::Message(&GOOGLE_SEARCH)),
        ("google_search_retrieval", Struct),
        ("google_maps", Struct),
        ("code_execution", Kind::Message(&CODE_EXECUTION)),
        ("url_context", Kind::Message(&URL_CONTEXT)),
        ("file_search", Struct),
        ("computer_use", Struct),
    ],
};

static GOOGLE_SEARCH: Message = Message {
    name: "GoogleSearch",
    fields: &[
        ("time_range_filter", Struct),
        ("search_types", Struct),
        ("exclude_domains", List(&Text)),
        ("blocking_confidence", Text),
    ],
};

static CODE_EXECUTION: Message = Message { name: "CodeExecution", fields: &[] };

static URL_CONTEXT: Message = Message { name: "UrlContext", fields: &[] };

static FUNCTION_DECLARATION: Message = Message {
    name: "FunctionDeclaration",
    fields: &[
        ("name", Text),
        ("description", Text),
        ("behavior", Text),
        ("parameters", Kind::Message(&SCHEMA)),
        ("parameters_json_schema", Any),
        ("response", Kind::Message(&SCHEMA)),
        ("response_json_schema", Any),
    ],
};

const TYPE: Kind = Word("Type", &TYPES);

/// What values are, in the order of their numbers.
pub(crate) const TYPES: [&str; 8] =
    ["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

static SCHEMA: Message = Message {
    name: "Schema",
    fields: &[
        ("type", TYPE),
        ("format", Text),
        ("title", Text),
        ("description", Text),
        ("nullable", Flag),
        ("enum", List(&Text)),
        ("items", Kind::Message(&SCHEMA)),
        ("max_items", Number),
        ("min_items", Number),
        ("properties", Map(&Kind::Message(&SCHEMA))),
        ("required", List(&Text)),
        ("min_properties", Number),
        ("max_properties", Number),
        ("minimum", Number),
        ("maximum", Number),
        ("min_length", Number),
        ("max_length", Number),
        ("pattern", Text),
        ("example", Any),
        ("any_of", List(&Kind::Message(&SCHEMA))),
        ("property_ordering", List(&Text)),
        ("default", Any),
    ],
};

static TOOL_CONFIG: Message = Message {
    name: "ToolConfig",
    fields: &[("function_calling_config", Kind::Message(&FUNCTION_CALLING_CONFIG)), ("retrieval_config", Struct)],
};

static FUNCTION_CALLING_CONFIG: Message = Message {
    name: "FunctionCallingConfig",
    fields: &[("mode", Word("FunctionCallingConfig.Mode", &MODES)), ("allowed_function_names", List(&Text))],
};

/// Whether functions are called.
pub(super) const MODES: [&str; 5] = ["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"];

static SAFETY_SETTING: Message = Message {
    name: "SafetySetting",
    fields: &[
        ("category", Word("HarmCategory", &HARMS)),
        (
            "threshold",
            Word(
                "SafetySetting.HarmBlockThreshold",
                &[
                    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
                    "BLOCK_LOW_AND_ABOVE",
                    "BLOCK_MEDIUM_AND_ABOVE",
                    "BLOCK_ONLY_HIGH",
                    "BLOCK_NONE",
                    "OFF",
                ],
            ),
        ),
    ],
};

/// In the order of their numbers. The first ones are those of a model before Gemini, up to [`FIRST_HARM`].
pub(super) const HARMS: [&str; 12] = [
    "HARM_CATEGORY_UNSPECIFIED",
    "HARM_CATEGORY_DEROGATORY",
    "HARM_CATEGORY_TOXICITY",
    "HARM_CATEGORY_VIOLENCE",
    "HARM_CATEGORY_SEXUAL",
    "HARM_CATEGORY_MEDICAL",
    "HARM_CATEGORY_DANGEROUS",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
];

/// Where those begin that Gemini has.
pub(super) const FIRST_HARM: usize = 7;

static GENERATION_CONFIG: Message = Message {
    name: "GenerationConfig",
    fields: &[
        ("stop_sequences", List(&Text)),
        ("response_mime_type", Text),
        ("response_schema", Kind::Message(&SCHEMA)),
        ("response_json_schema", Any),
        ("_response_json_schema", Any),
        ("response_modalities", List(&MODALITY)),
        ("candidate_count", Whole),
        ("max_output_tokens", Whole),
        ("temperature", Number),
        ("top_p", Number),
        ("top_k", Whole),
        ("seed", Whole),
        ("presence_penalty", Number),
        ("frequency_penalty", Number),
        ("response_logprobs", Flag),
        ("logprobs", Whole),
        ("enable_enhanced_civic_answers", Flag),
        ("speech_config", Kind::Message(&SPEECH_CONFIG)),
        ("thinking_config", Kind::Message(&THINKING_CONFIG)),
        ("image_config", Kind::Message(&IMAGE_CONFIG)),
        ("media_resolution", RESOLUTION),
    ],
};

/// These and no others, however they are called elsewhere.
const TASK: Kind = Word(
    "TaskType",
    &[
        "TASK_TYPE_UNSPECIFIED",
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    ],
);

const MODALITY: Kind = Word("GenerationConfig.Modality", &MODALITIES);

/// What answers are made of.
pub(super) const MODALITIES: [&str; 5] = ["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"];

const RESOLUTION: Kind = Word(
    "GenerationConfig.MediaResolution",
    &[
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
        "MEDIA_RESOLUTION_ULTRA_HIGH",
    ],
);

static SPEECH_CONFIG: Message = Message {
    name: "SpeechConfig",
    fields: &[
        ("voice_config", Kind::Message(&VOICE_CONFIG)),
        ("multi_speaker_voice_config", Kind::Message(&MULTI_SPEAKER)),
        ("language_code", Text),
    ],
};

static VOICE_CONFIG: Message =
    Message { name: "VoiceConfig", fields: &[("prebuilt_voice_config", Kind::Message(&PREBUILT_VOICE))] };

static PREBUILT_VOICE: Message = Message { name: "PrebuiltVoiceConfig", fields: &[("voice_name", Text)] };

static MULTI_SPEAKER: Message =
    Message { name: "MultiSpeakerVoiceConfig", fields: &[("speaker_voice_configs", List(&Kind::Message(&SPEAKER)))] };

static SPEAKER: Message = Message {
    name: "SpeakerVoiceConfig",
    fields: &[("speaker", Text), ("voice_config", Kind::Message(&VOICE_CONFIG))],
};

static IMAGE_CONFIG: Message = Message { name: "ImageConfig", fields: &[("aspect_ratio", Text), ("image_size", Text)] };

static THINKING_CONFIG: Message = Message {
    name: "ThinkingConfig",
    fields: &[("include_thoughts", Flag), ("thinking_budget", Whole), ("thinking_level", Text)],
};
