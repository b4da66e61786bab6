"""google-genai in Python: files, caches, batches, operations, a Live session, models, exceptions."""

import asyncio
import io
import os

from google import genai
from google.genai import errors, types

client = genai.Client(
    api_key=os.environ["TOKEN"],
    http_options=types.HttpOptions(base_url=os.environ["KEYPOOL_URL"], api_version="v1beta"),
)
MODEL = "gemini-2.5-flash"

assert client.models.generate_content(model=MODEL, contents="Hello").text
assert "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents="Hello"))
assert any(model.name == f"models/{MODEL}" for model in client.models.list())
assert client.models.get(model=MODEL).name == f"models/{MODEL}"

# Several files, so that they are in several projects. A request goes to the project of its file.
files = [
    client.files.upload(file=io.BytesIO(text * 9_000_000), config=types.UploadFileConfig(mime_type="text/plain"))
    for text in (b"a", b"b")
] + [client.files.upload(file=io.BytesIO(b"c"), config=types.UploadFileConfig(mime_type="text/plain"))]
for file in files:
    assert client.files.get(name=file.name).state == types.FileState.ACTIVE, file
    for _ in range(3):
        assert client.models.generate_content(model=MODEL, contents=[file, "What is it?"]).text
listed = {file.name for file in client.files.list(config={"page_size": 2})}
assert listed >= {file.name for file in files}, listed
# Files of one session are in one project, and can be used in one request.
options = {"base_url": os.environ["KEYPOOL_URL"], "headers": {"x-keypool-session": "one"}}
session = genai.Client(api_key=os.environ["TOKEN"], http_options=options)
both = [session.files.upload(file=io.BytesIO(text), config={"mime_type": "text/plain"}) for text in (b"d", b"e")]
assert session.models.generate_content(model=MODEL, contents=[*both, "Compare."]).text
client.files.delete(name=files[0].name)
try:
    client.files.get(name=files[0].name)
    raise SystemExit("it was deleted")
except errors.ClientError as error:
    assert error.code == 404, error

# Caches.
cache = client.caches.create(
    model=MODEL, config=types.CreateCachedContentConfig(contents=["word " * 30_000], ttl="600s")
)
for _ in range(3):
    config = types.GenerateContentConfig(cached_content=cache.name)
    assert client.models.generate_content(model=MODEL, contents="Which word?", config=config).text
assert cache.name in [found.name for found in client.caches.list()]
client.caches.delete(name=cache.name)

# Batches.
batch = client.batches.create(model=MODEL, src=[{"contents": [{"parts": [{"text": "Hello"}]}]}])
assert client.batches.get(name=batch.name).name == batch.name
assert batch.name in {found.name for found in client.batches.list()}


async def live():
    # This client opens sockets only over TLS, which the gateway does not use here.
    client._api_client._websocket_base_url = lambda *_: os.environ["KEYPOOL_URL"].replace("http", "ws")
    client._api_client._websocket_ssl_ctx = {}
    async with client.aio.live.connect(model=MODEL, config={"response_modalities": ["TEXT"]}) as session:
        for _ in range(2):
            turn = types.Content(role="user", parts=[types.Part(text="Hello")])
            await session.send_client_content(turns=turn, turn_complete=True)
            said = ""
            async for message in session.receive():
                said += message.text or ""
            assert said == "Hello.", said


asyncio.run(live())
