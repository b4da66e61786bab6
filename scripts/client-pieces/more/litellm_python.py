"""litellm as an OpenAI-compatible client: completion, stream, tools, embeddings; its own exceptions."""

import os

import litellm

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
WISH = dict(model="openai/gemini-2.5-flash", api_base=URL + "/v1", api_key=TOKEN, num_retries=0)
HELLO = [{"role": "user", "content": "Hello"}]
assert litellm.completion(messages=HELLO, **WISH).choices[0].message.content
chunks = litellm.completion(messages=HELLO, stream=True, **WISH)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
called = litellm.completion(messages=HELLO, tools=tools, tool_choice="required", **WISH)
assert called.choices[0].message.tool_calls[0].function.name == "f"
vectors = litellm.embedding(model="openai/gemini-embedding-001", input=["a"], api_base=URL + "/v1", api_key=TOKEN)
assert vectors.data[0]["embedding"]
said = litellm.completion(model="anthropic/gemini-2.5-flash", messages=HELLO, api_base=URL, api_key=TOKEN)
assert said.choices[0].message.content
try:
    litellm.completion(messages=HELLO, **{**WISH, "model": "openai/nothing"})
    raise SystemExit("expected an exception")
except litellm.NotFoundError:
    pass
