"""google-generativeai, the predecessor of google-genai, over REST: it sends enum values as numbers, and reads streamed
lists."""

import enum
import json
import os

import google.generativeai as genai
from google.api_core import exceptions
from google.generativeai import caching

URL, MODEL = os.environ["KEYPOOL_URL"], "gemini-2.5-flash"
genai.configure(api_key=os.environ["TOKEN"], transport="rest", client_options={"api_endpoint": URL})
model = genai.GenerativeModel(MODEL, safety_settings={"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"})
whole = model.generate_content("Hello").text
assert "".join(chunk.text for chunk in model.generate_content("Hello", stream=True)) == whole
assert model.count_tokens("Hello").total_tokens

# Structured output.
Colour = enum.Enum("Colour", {"RED": "red", "BLUE": "blue"})
named = genai.GenerationConfig(response_mime_type="application/json", response_schema=list[str])
assert isinstance(json.loads(model.generate_content("Who?", generation_config=named).text)[0], str)
chosen = genai.GenerationConfig(response_mime_type="text/x.enum", response_schema=Colour)
assert model.generate_content("Which?", generation_config=chosen).text == "red"

# A tool that the library calls itself.
asked = []


def weather(city: str) -> str:
    """The weather in a city."""
    asked.append(city)
    return "20 degrees"


chat = genai.GenerativeModel(MODEL, tools=[weather]).start_chat(enable_automatic_function_calling=True)
assert chat.send_message("weather()").text and asked == ["simulated"], asked

assert len(genai.embed_content(model="models/gemini-embedding-001", content=["a", "b"])["embedding"]) == 2
assert f"models/{MODEL}" in [found.name for found in genai.list_models()]
cache = caching.CachedContent.create(model=f"models/{MODEL}", contents=["word " * 30_000])
assert genai.GenerativeModel.from_cached_content(cache).generate_content("Which word?").text
cache.delete()

for kind, name in ((exceptions.NotFound, "nothing"), (exceptions.Unauthorized, MODEL)):
    try:
        genai.GenerativeModel(name).generate_content("Hello")
        raise SystemExit("expected an exception")
    except kind:
        genai.configure(api_key="wrong", transport="rest", client_options={"api_endpoint": URL})
