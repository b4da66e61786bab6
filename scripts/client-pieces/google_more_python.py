"""google-genai in Python, more features: chats with tools, the async client, schemas, batches, embeddings, token counts,
images, streams with functions, errors."""

import asyncio
import enum
import os
import pathlib
import tempfile

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

client = genai.Client(
    api_key=os.environ["TOKEN"],
    http_options=types.HttpOptions(base_url=os.environ["KEYPOOL_URL"]),
)
MODEL = "gemini-2.5-flash"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    zip: str | None = None


class Person(BaseModel):
    name: str
    age: int
    colour: Colour
    addresses: list[Address]


for model in (MODEL, "gemini-3.8-flash"):
    # A conversation, with and without streaming.
    chat = client.chats.create(model=model, config=types.GenerateContentConfig(system_instruction="Be brief."))
    assert chat.send_message("Hello").text
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("And again"))
    assert len(chat.get_history()) >= 4, chat.get_history()

    # Structured output.
    for schema in (Person, list[Person], Person.model_json_schema()):
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
        answer = client.models.generate_content(model=model, contents="Who?", config=config)
        assert answer.parsed, (schema, answer.text)
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=Person.model_json_schema()
    )
    assert Person.model_validate_json(client.models.generate_content(model=model, contents="Who?", config=config).text)

    # Functions that the client calls itself, and functions that it does not.
    asked = []

    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "20 degrees"

    config = types.GenerateContentConfig(
        tools=[weather],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(maximum_remote_calls=2),
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    )
    client.models.generate_content(model=model, contents="The weather in Oslo?", config=config)
    assert asked, "the function was not called"
    chat = client.chats.create(model=model, config=types.GenerateContentConfig(tools=[weather]))
    assert chat.send_message("The weather in Oslo?").candidates
    declared = types.FunctionDeclaration(
        name="book",
        description="Books.",
        parameters_json_schema={"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["book"])
        ),
    )
    answer = client.models.generate_content(model=model, contents="Book a day", config=config)
    (call,) = answer.function_calls
    assert call.name == "book", call
    turns = [
        types.Content(role="user", parts=[types.Part(text="Book a day")]),
        answer.candidates[0].content,
        types.Content(
            role="user", parts=[types.Part.from_function_response(name="book", response={"result": "booked"})]
        ),
    ]
    said = client.models.generate_content(
        model=model, contents=turns, config=types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    )
    assert said.text, said

# Other options.
config = types.GenerateContentConfig(
    temperature=0.2, top_p=0.9, top_k=20, candidate_count=1, seed=7, stop_sequences=["x"], max_output_tokens=64,
    thinking_config=types.ThinkingConfig(thinking_budget=0, include_thoughts=False),
    safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE")],
    http_options=types.HttpOptions(headers={"x-my-header": "1"}, timeout=30_000),
)
assert client.models.generate_content(model=MODEL, contents="Hello", config=config).text
assert client.models.count_tokens(model=MODEL, contents="Hello there").total_tokens
assert client.models.generate_content(
    model=MODEL,
    contents=["What is it?", types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")],
).text

# Embeddings, one and several.
config = types.EmbedContentConfig(output_dimensionality=64, task_type="RETRIEVAL_QUERY")
assert len(client.models.embed_content(model="gemini-embedding-001", contents="a", config=config).embeddings[0].values) == 64
assert len(client.models.embed_content(model="gemini-embedding-001", contents=["a", "b", "c"]).embeddings) == 3

# A file is uploaded by path, used by URI in a stream, and deleted.
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "words.txt"
    path.write_text("words")
    file = client.files.upload(file=str(path), config={"display_name": "Wörter"})
    assert file.uri and file.display_name == "Wörter", file
    contents = [types.Part.from_uri(file_uri=file.uri, mime_type=file.mime_type), "What is it?"]
    assert "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents=contents))
    cache = client.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents=[file, "word " * 30_000], ttl="300s")
    )
    assert client.caches.get(name=cache.name).name == cache.name
    assert client.caches.update(name=cache.name, config=types.UpdateCachedContentConfig(ttl="900s")).expire_time
    client.caches.delete(name=cache.name)

    # A batch from a file of requests.
    lines = pathlib.Path(folder) / "batch.jsonl"
    lines.write_text('{"key": "1", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}\n')
    source = client.files.upload(file=str(lines), config=types.UploadFileConfig(mime_type="jsonl"))
    batch = client.batches.create(model=MODEL, src=source.name, config={"display_name": "mine"})
    assert client.batches.get(name=batch.name).name == batch.name
    client.batches.cancel(name=batch.name)
    client.batches.delete(name=batch.name)

# Errors raise the same exceptions as with the real service.
for wrong, code in (
    (lambda: client.models.generate_content(model="no-such-model", contents="Hello"), 404),
    (lambda: client.files.get(name="files/nothing"), (403, 404)),
    (lambda: client.models.generate_content(model=MODEL, contents="Hello", config={"temperature": 7.0}), 400),
):
    try:
        wrong()
        raise SystemExit("expected an exception")
    except errors.ClientError as error:
        assert error.code == code or error.code in (code if isinstance(code, tuple) else ()), error
        assert error.message, error
bad = genai.Client(api_key="kp-wrong", http_options=types.HttpOptions(base_url=os.environ["KEYPOOL_URL"]))
try:
    bad.models.generate_content(model=MODEL, contents="Hello")
    raise SystemExit("expected an exception")
except errors.ClientError as error:
    assert error.code in (400, 401), error


async def all_at_once():
    aio = client.aio
    answers = await asyncio.gather(*[aio.models.generate_content(model=MODEL, contents=f"Hello {n}") for n in range(20)])
    assert all(answer.text for answer in answers)
    said = ""
    async for chunk in await aio.models.generate_content_stream(model=MODEL, contents="Hello"):
        said += chunk.text or ""
    assert said
    chat = aio.chats.create(model=MODEL)
    assert (await chat.send_message("Hello")).text
    async for chunk in await chat.send_message_stream("Again"):
        assert chunk.candidates
    with tempfile.NamedTemporaryFile(suffix=".txt") as held:
        held.write(b"words")
        held.flush()
        file = await aio.files.upload(file=held.name)
    assert (await aio.models.generate_content(model=MODEL, contents=[file, "What?"])).text
    assert (await aio.files.get(name=file.name)).name == file.name
    await aio.files.delete(name=file.name)
    assert (await aio.models.count_tokens(model=MODEL, contents="Hello")).total_tokens
    assert (await aio.models.embed_content(model="gemini-embedding-001", contents="a")).embeddings
    names = [model.name async for model in await aio.models.list()]
    assert f"models/{MODEL}" in names


asyncio.run(all_at_once())
