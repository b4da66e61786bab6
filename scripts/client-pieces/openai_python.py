"""openai in Python: chat with and without streaming, tool calls and results, structured output, embeddings, models, exceptions."""

import enum
import json
import os

import openai
from pydantic import BaseModel, Field

BASE, TOKEN = os.environ["KEYPOOL_URL"] + "/v1", os.environ["TOKEN"]
client = openai.OpenAI(base_url=BASE, api_key=TOKEN, max_retries=0)
HELLO = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"const": "celsius"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


def chat(**more):
    return client.chat.completions.create(**{"model": "gemini-2.5-flash", "messages": HELLO, **more})


def raises(kind, call):
    try:
        call()
    except openai.OpenAIError as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"expected {kind}")


# Without streaming.
answer = chat(temperature=0.3, max_completion_tokens=50, stop=["#"], seed=7, user="somebody", reasoning_effort="low")
assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop", answer
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

# With streaming.
chunks = list(chat(stream=True, stream_options={"include_usage": True}))
assert len(chunks) > 4 and chunks[-1].usage.total_tokens > 0 and not chunks[-1].choices
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer.choices[0].message.content
with client.chat.completions.stream(model="gemini-2.5-flash", messages=HELLO) as stream:
    assert stream.get_final_completion().choices[0].message.content

# Text completions are not supported; the error says what to use instead.
error = raises(openai.NotFoundError, lambda: client.completions.create(model="gemini-2.5-flash", prompt="Once upon"))
assert "/v1/chat/completions" in error.message, error

# An image as data.
look = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
assert chat(messages=[{"role": "user", "content": look}]).choices[0].message.content

# Audio and files as data. A file id of OpenAI's API is refused.
sound = {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}}
paper = {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}}
assert chat(messages=[{"role": "user", "content": [sound, paper]}]).choices[0].message.content
kept = [{"type": "file", "file": {"file_id": "file-abc"}}]
assert raises(openai.BadRequestError, lambda: chat(messages=[{"role": "user", "content": kept}])).param.endswith("file_id")

# A tool call and its result. A client that rebuilds the call keeps only ids, names and arguments.
for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    for stream in (False, True):
        wish = dict(model=model, tools=TOOLS, tool_choice="required")
        if stream:
            with client.chat.completions.stream(messages=HELLO, **wish) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = chat(**wish).choices[0].message
        (call,) = message.tool_calls
        assert call.function.name == "weather" and isinstance(json.loads(call.function.arguments), dict)
        rebuilt = {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.function.arguments}}
        follow = HELLO + [
            {"role": "assistant", "content": None, "tool_calls": [rebuilt]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 20}'},
        ]
        assert chat(model=model, tools=TOOLS, messages=follow).choices[0].message.content


# Two parallel calls, with results in another order, one of them in parts with an image.
both = [
    {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}} for n in (1, 2)
]
seen = [{"type": "text", "text": "a photo"}, look[1]]
follow = HELLO + [
    {"role": "assistant", "tool_calls": both},
    {"role": "tool", "tool_call_id": "call_2", "content": seen},
    {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "20"}, {"type": "text", "text": " degrees"}]},
]
for choice in ("auto", "none", {"type": "function", "function": {"name": "weather"}}):
    assert chat(model="gemini-3.8-flash", tools=TOOLS, tool_choice=choice, messages=follow, parallel_tool_calls=True).choices


# Structured output.
class Verdict(BaseModel):
    answer: str


class Mood(str, enum.Enum):
    good = "good"
    bad = "bad"


class Node(BaseModel):
    """Definitions that refer to each other, alternatives, what may be nothing, words of a list."""

    name: str
    mood: Mood
    other: Verdict | None = Field(description="another one")
    either: int | str
    many: list[Verdict]


for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    node = client.chat.completions.parse(model=model, messages=HELLO, response_format=Node).choices[0].message.parsed
    assert node.mood in Mood and node.many, node
tool = openai.pydantic_function_tool(Node)
made = client.chat.completions.parse(model="gemini-3.8-flash", messages=HELLO, tools=[tool], tool_choice="required")
assert isinstance(made.choices[0].message.tool_calls[0].function.parsed_arguments, Node)

# An image that is generated in a chat.
drawn = chat(model="gemini-2.5-flash-image", modalities=["text", "image"]).choices[0].message
assert drawn.images[0]["image_url"]["url"].startswith("data:image/png;base64,"), drawn

parsed = client.chat.completions.parse(model="gemini-2.5-flash", messages=HELLO, response_format=Verdict)
assert parsed.choices[0].message.parsed.answer, parsed

# Responses, with and without streaming, and with a tool.
response = client.responses.create(model="gemini-2.5-flash", instructions="Be brief.", input="Hello", store=False)
assert response.output_text == answer.choices[0].message.content and response.status == "completed", response
with client.responses.stream(model="gemini-2.5-flash", input="Hello") as stream:
    assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == response.output_text
    assert stream.get_final_response().usage.total_tokens > 0
flat = [{"type": "function", **TOOLS[0]["function"]}]
called = client.responses.create(model="gemini-3.8-flash", input="Hello", tools=flat, tool_choice="required")
(call,) = [item for item in called.output if item.type == "function_call"]
items = [{"role": "user", "content": "Hello"}, call, {"type": "function_call_output", "call_id": call.call_id, "output": "20"}]
assert client.responses.create(model="gemini-3.8-flash", input=items, tools=flat).output_text
assert client.responses.parse(model="gemini-2.5-flash", input="Hello", text_format=Verdict).output_parsed.answer
error = raises(openai.BadRequestError, lambda: client.responses.create(model="m", input="x", previous_response_id="resp_1"))
assert error.param == "previous_response_id"

photo = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
looked = [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, photo]}]
numbers, kinds = [], []
for event in client.responses.create(model="gemini-2.5-flash", input=looked, stream=True):
    numbers.append(event.sequence_number)
    kinds.append(event.type)
assert numbers == list(range(len(numbers))), numbers
assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds

# Embeddings. The client requests base64 by default.
vectors = client.embeddings.create(model="gemini-embedding-001", input=["a", "b"], dimensions=64)
assert [len(item.embedding) for item in vectors.data] == [64, 64]
floats = client.embeddings.create(model="gemini-embedding-001", input="a", dimensions=64, encoding_format="float")
assert all(abs(a - b) < 1e-6 for a, b in zip(floats.data[0].embedding, vectors.data[0].embedding))

# Token ids belong to another model's vocabulary and are refused.
error = raises(openai.BadRequestError, lambda: client.embeddings.create(model="gemini-embedding-001", input=[[64], [65]]))
assert error.param == "input[0]", error.body

# Models.
assert "gemini-2.5-flash" in [model.id for model in client.models.list()]
assert client.models.retrieve("gemini-2.5-flash").id == "gemini-2.5-flash"

# Ignored fields are listed in a header; unsupported fields are refused.
raw = client.chat.completions.with_raw_response.create(model="gemini-2.5-flash", messages=HELLO, store=True)
assert raw.headers["x-keypool-ignored"] == "store" and raw.headers["x-keypool-attempts"] == "1"
error = raises(openai.BadRequestError, lambda: chat(logit_bias={"1": 5}))
assert error.param == "logit_bias" and error.type == "invalid_request_error", error.body
far = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
error = raises(openai.BadRequestError, lambda: chat(messages=[{"role": "user", "content": far}]))
assert error.param == "messages[0].content[0].image_url.url", error.body
assert raises(openai.NotFoundError, lambda: chat(model="gemini-of-nowhere")).code == "model_not_found"
assert raises(openai.NotFoundError, lambda: chat(model="gemini-of-nowhere", stream=True)).code == "model_not_found"
stranger = openai.OpenAI(base_url=BASE, api_key="wrong", max_retries=0)
assert raises(openai.AuthenticationError, stranger.models.list).code == "invalid_api_key"
