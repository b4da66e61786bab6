"""pydantic-ai over its Google, OpenAI (chats and responses) and Anthropic models: parallel tool calls, history, streams, output."""

import asyncio
import os

from google import genai
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
ASKED = "weather() in Oslo, weather() in Rome, and time()"


class Verdict(BaseModel):
    answer: str
    parts: list[str]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


def time() -> dict[str, str]:
    """What time it is."""
    return {"at": "noon"}


async def talk(model, has_native):
    agent = Agent(model, instructions="Be brief.", tools=[weather, time])
    first = await agent.run(ASKED)
    assert first.output and first.usage.tool_calls == 3 and first.usage.output_tokens, (model, first)
    again = await agent.run(ASKED, message_history=first.all_messages())
    assert again.usage.tool_calls == 3 and again.output, (model, again)
    async with agent.run_stream("Hello", message_history=again.all_messages()) as stream:
        assert "".join([text async for text in stream.stream_text(delta=True)]), model
    assert (await Agent(model, output_type=Verdict).run("Hello")).output.parts, model
    if has_native:
        assert (await Agent(model, output_type=NativeOutput(Verdict)).run("Hello")).output.parts, model


async def together():
    openai = OpenAIProvider(base_url=URL + "/v1", api_key=TOKEN)
    google = GoogleProvider(client=genai.Client(api_key=TOKEN, http_options={"base_url": URL}))
    for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
        await talk(GoogleModel(name, provider=google), True)
        await talk(OpenAIChatModel(name, provider=openai), True)
        await talk(OpenAIResponsesModel(name, provider=openai), True)
        # This client supports native output only for Anthropic's own models.
        await talk(AnthropicModel(name, provider=AnthropicProvider(base_url=URL, api_key=TOKEN)), False)


asyncio.run(together())
