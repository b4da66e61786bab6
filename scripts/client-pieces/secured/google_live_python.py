"""google-genai in Python over TLS, which it requires for Live sessions: a text, and a conversation over a socket."""

import asyncio
import os

from google import genai

client = genai.Client(api_key=os.environ["TOKEN"], http_options={"base_url": os.environ["KEYPOOL_URL"]})
MODEL = "gemini-2.5-flash"
assert client.models.generate_content(model=MODEL, contents="Hello").text


async def talk():
    async with client.aio.live.connect(model=MODEL, config={"response_modalities": ["TEXT"]}) as session:
        for turn in range(2):
            await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello"}]}, turn_complete=True)
            said = [message.text or "" async for message in session.receive()]
            assert "".join(said) == "Hello.", (turn, said)


asyncio.run(talk())
