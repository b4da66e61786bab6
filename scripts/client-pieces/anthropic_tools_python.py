"""anthropic in Python: streams with tools, results with images, thinking that is sent back, tool choices, system blocks."""

import asyncio
import os

import anthropic

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
client = anthropic.Anthropic(base_url=URL, api_key=TOKEN, max_retries=0)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CACHED = {"cache_control": {"type": "ephemeral"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
TOOLS = [
    {
        "name": "weather",
        "description": "The weather.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F", None]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        **CACHED,
    },
    {"type": "custom", "name": "time", "input_schema": {"type": "object", "properties": {}}},
]
SYSTEM = [{"type": "text", "text": "Be brief.", **CACHED}, {"type": "text", "text": "Very."}]

for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    wish = dict(model=model, max_tokens=4000, system=SYSTEM, tools=TOOLS)
    turns = [{"role": "user", "content": [{"type": "text", "text": "Weather?", **CACHED}, IMAGE]}]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(messages=turns, thinking=thinking, tool_choice={"type": "any"}, **wish) as stream:
        kinds = [event.type for event in stream]
        called = stream.get_final_message()
    raw = [kind for kind in kinds if kind.startswith(("message_", "content_block_"))]
    assert raw[0] == "message_start" and raw[-1] == "message_stop" and raw[-2] == "message_delta", raw
    assert kinds.count("content_block_start") == kinds.count("content_block_stop"), kinds
    assert called.stop_reason == "tool_use" and called.usage.output_tokens, called
    calls = [block for block in called.content if block.type == "tool_use"]
    assert calls and isinstance(calls[0].input, dict), called
    # The whole response is sent back, including thoughts and their signatures.
    turns += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in called.content]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result", "tool_use_id": call.id, "is_error": number > 0,
                    "content": [{"type": "text", "text": "20 degrees"}, IMAGE], **CACHED,
                }
                for number, call in enumerate(calls)
            ]
            + [{"type": "text", "text": "And now?"}],
        },
    ]
    with client.messages.stream(messages=turns, thinking=thinking, **wish) as stream:
        assert "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"
    for choice in ({"type": "auto"}, {"type": "auto", "disable_parallel_tool_use": True}, {"type": "none"},
                   {"type": "tool", "name": "weather"}):
        said = client.messages.create(messages=turns[:1], tool_choice=choice, **wish)
        assert said.content, (choice, said)
        if choice["type"] == "tool":
            assert said.content[-1].name == "weather", said
    counted = client.messages.count_tokens(model=model, messages=turns, system=SYSTEM, tools=TOOLS)
    assert counted.input_tokens > 10, counted
    said = client.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "So"}],
        stop_sequences=["x", "y"], metadata={"user_id": "me"}, extra_body={"temperature": 0.3, "top_p": 0.9, "top_k": 5},
    )
    assert said.content and said.stop_reason in ("end_turn", "max_tokens", "stop_sequence"), said
    document = {
        "type": "document", "title": "T", "context": "C", "citations": {"enabled": False},
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}, **CACHED,
    }
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    said = client.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": [document, plain, {"type": "text", "text": "?"}]}]
    )
    assert said.content, said
    beta = client.beta.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": "Hi"}], betas=["context-1m-2025-08-07"]
    )
    assert beta.content, beta
    parsed = client.messages.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "Hi"}],
        extra_body={"output_config": {"format": {"type": "json_schema", "schema": {
            "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}}}},
    )
    assert parsed.content[0].text.startswith("{"), parsed



# The tool runner asks for a thread by default, and continues without one if there is none.
@anthropic.beta_tool
def weather(city: str) -> str:
    """The weather in a city."""
    asked.append(city)
    return "20 degrees"


for stream in (False, True):
    asked = []
    wish = dict(model="gemini-3.8-flash", max_tokens=500, messages=[{"role": "user", "content": "weather() and weather()"}])
    runner = client.beta.messages.tool_runner(tools=[weather], stream=stream, **wish)
    assert runner.until_done().content[-1].text and len(asked) == 2, asked

for wrong, exception in (
    (dict(model="no-such-model"), anthropic.NotFoundError),
    (dict(messages=[]), anthropic.BadRequestError),
    (dict(tools=[{"type": "bash_20250124", "name": "bash"}]), anthropic.BadRequestError),
):
    try:
        client.messages.create(**{**dict(model="gemini-2.5-flash", max_tokens=5, messages=[{"role": "user", "content": "x"}]), **wrong})
        raise SystemExit(f"{wrong}: expected an exception")
    except exception as error:
        assert error.body["error"]["type"], error.body
assert [model.id for model in client.models.list()], "models"


async def together():
    aio = anthropic.AsyncAnthropic(base_url=URL, auth_token=TOKEN, api_key=None, max_retries=0)
    said = ""
    async with aio.messages.stream(
        model="gemini-2.5-flash", max_tokens=500, messages=[{"role": "user", "content": "Hello"}]
    ) as stream:
        async for text in stream.text_stream:
            said += text
    assert said


asyncio.run(together())
