"""litellm with its gemini/ and openai/ prefixes: completion, streams, tools with a second turn, schemas, images,
reasoning, embeddings, async; its own exceptions."""

import asyncio
import json
import os

import litellm
from pydantic import BaseModel

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
HELLO = [{"role": "user", "content": "Hello"}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Inner(BaseModel):
    n: int | None


class Answer(BaseModel):
    word: str
    inner: Inner


for prefix, base in (("gemini/", URL + "/v1beta"), ("gemini/", URL), ("openai/", URL + "/v1"), ("anthropic/", URL), ("hosted_vllm/", URL + "/v1")):
    for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
        model = prefix + name
        wish = dict(model=model, api_base=base, api_key=TOKEN, num_retries=0)
        whole = litellm.completion(messages=[{"role": "system", "content": "Be brief."}] + HELLO, **wish)
        assert whole.choices[0].message.content and whole.usage.total_tokens, (model, whole)
        chunks = list(litellm.completion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **wish))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), model
        assert any(getattr(chunk, "usage", None) for chunk in chunks), model
        called = litellm.completion(messages=HELLO, tools=[TOOL], tool_choice="required", **wish)
        (call,) = called.choices[0].message.tool_calls
        assert json.loads(call.function.arguments)["city"], call
        turn = HELLO + [
            called.choices[0].message.model_dump(),
            {"role": "tool", "tool_call_id": call.id, "content": "20 degrees"},
        ]
        assert litellm.completion(messages=turn, tools=[TOOL], **wish).choices[0].message.content, model
        pieces = list(litellm.completion(messages=HELLO, tools=[TOOL], tool_choice="required", stream=True, **wish))
        built = litellm.stream_chunk_builder(pieces)
        assert json.loads(built.choices[0].message.tool_calls[0].function.arguments)["city"], model
        answer = litellm.completion(messages=HELLO, response_format=Answer, **wish)
        assert Answer.model_validate_json(answer.choices[0].message.content), (model, answer)
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        seen = litellm.completion(
            messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}], **wish
        )
        assert seen.choices[0].message.content
        # For Anthropic it would send reasoning_effort unchanged.
        if prefix != "anthropic/":
            thought = litellm.completion(
                messages=HELLO, reasoning_effort="low", max_tokens=5000, allowed_openai_params=["reasoning_effort"], **wish
            )
            assert thought.choices[0].message.content
        tuned = litellm.completion(
            messages=HELLO, temperature=0.1, top_p=0.9, stop=["x"], max_tokens=50, user="me", drop_params=True, **wish
        )
        assert tuned.choices[0].finish_reason in ("stop", "length"), tuned

    async def together():
        answers = await asyncio.gather(*[litellm.acompletion(messages=HELLO, **wish) for _ in range(8)])
        assert all(answer.choices[0].message.content for answer in answers)
        said = ""
        async for chunk in await litellm.acompletion(messages=HELLO, stream=True, **wish):
            said += chunk.choices[0].delta.content or ""
        assert said

    asyncio.run(together())
    for wrong, exception in (
        (dict(model=prefix + "no-such-model"), litellm.NotFoundError),
        (dict(api_key="kp-wrong"), (litellm.AuthenticationError, litellm.BadRequestError)),
    ):
        try:
            litellm.completion(messages=HELLO, **{**wish, **wrong})
            raise SystemExit(f"{prefix} {wrong}: expected an exception")
        except exception:
            pass
vectors = litellm.embedding(model="gemini/gemini-embedding-001", input=["a", "b"], api_base=URL + "/v1beta", api_key=TOKEN)
assert len(vectors.data) == 2, vectors
vectors = litellm.embedding(model="openai/gemini-embedding-001", input=["a", "b"], api_base=URL + "/v1", api_key=TOKEN)
assert len(vectors.data) == 2, vectors
response = litellm.responses(model="openai/gemini-2.5-flash", input="Hello", api_base=URL + "/v1", api_key=TOKEN)
assert response.output, response
