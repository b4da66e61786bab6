"""anthropic in Python: messages with and without streaming, tool calls and results, token counts, models, exceptions."""

import os

import anthropic

BASE, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
client = anthropic.Anthropic(base_url=BASE, api_key=TOKEN, max_retries=0)
WISH = dict(model="gemini-2.5-flash", max_tokens=200, system="Be brief.", messages=[{"role": "user", "content": "Hello"}])
TOOLS = [{"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def raises(kind, call):
    try:
        call()
    except anthropic.AnthropicError as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"expected {kind}")


message = client.messages.create(**WISH, stop_sequences=["#"], metadata={"user_id": "u"})
assert message.content[0].text and message.stop_reason == "end_turn" and message.usage.input_tokens > 0, message
with client.messages.stream(**WISH) as stream:
    assert "".join(stream.text_stream) == message.content[0].text
    assert stream.get_final_message().stop_reason == "end_turn"
# Images, documents, a system prompt of several blocks.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a paper"}}
blocks = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
look = [{"role": "user", "content": [image, paper, {"type": "text", "text": "What is it?"}]}]
assert client.messages.create(**{**WISH, "system": blocks, "messages": look}).content[0].text
far = [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}]
assert raises(anthropic.BadRequestError, lambda: client.messages.create(**{**WISH, "messages": far}))

# Thoughts with and without streaming, and the order of events.
thinking = {"type": "enabled", "budget_tokens": 1024}
kinds = [block.type for block in client.messages.create(**{**WISH, "max_tokens": 2000}, thinking=thinking).content]
assert kinds == ["thinking", "text"], kinds
kinds = [event.type for event in client.messages.create(**{**WISH, "max_tokens": 2000}, thinking=thinking, stream=True)]
assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2, kinds

assert client.messages.count_tokens(model=WISH["model"], messages=WISH["messages"]).input_tokens > 0

for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    wish = {**WISH, "model": model}
    with client.messages.stream(**wish, tools=TOOLS, tool_choice={"type": "any"}) as stream:
        said = stream.get_final_message()
    assert said.stop_reason == "tool_use", said
    use = next(block for block in said.content if block.type == "tool_use")
    follow = wish["messages"] + [
        {"role": "assistant", "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "20 degrees"}]},
    ]
    assert client.messages.create(**{**wish, "messages": follow}, tools=TOOLS).content[0].text
    result = {"type": "tool_result", "tool_use_id": use.id, "is_error": True, "content": [image, {"type": "text", "text": "no"}]}
    follow[-1] = {"role": "user", "content": [result, {"type": "text", "text": "Go on."}]}
    assert client.messages.create(**{**wish, "messages": follow}, tools=TOOLS).content[0].text

assert "gemini-2.5-flash" in [model.id for model in client.models.list()]
assert raises(anthropic.NotFoundError, lambda: client.messages.create(**{**WISH, "model": "gemini-of-nowhere"}))
assert raises(anthropic.BadRequestError, lambda: client.messages.create(**{**WISH, "messages": []}))
stranger = anthropic.Anthropic(base_url=BASE, api_key="wrong", max_retries=0)
assert raises(anthropic.AuthenticationError, lambda: stranger.messages.create(**WISH))
