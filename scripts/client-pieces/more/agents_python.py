"""openai-agents with responses and chats: parallel tool calls, sessions, streams, typed output, a handoff."""

import asyncio
import os

from agents import (
    Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, SQLiteSession, function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

ASKED = "weather() in Oslo, weather() in Rome, and time()"
set_tracing_disabled(True)


class Verdict(BaseModel):
    answer: str


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


@function_tool
def time() -> str:
    """What time it is."""
    return "noon"


async def talk(client, kind, name):
    model = kind(name, client)
    agent = Agent(name="Helper", instructions="Be brief.", model=model, tools=[weather, time])
    session = SQLiteSession("one")
    for turn in range(2):
        done = await Runner.run(agent, ASKED, session=session)
        calls = [item for item in done.new_items if item.type == "tool_call_output_item"]
        assert len(calls) == 3 and done.final_output, (name, turn, done)
    assert done.context_wrapper.usage.total_tokens, name
    stream = Runner.run_streamed(agent, ASKED)
    kinds = [event.type async for event in stream.stream_events()]
    assert "raw_response_event" in kinds and stream.final_output, kinds
    typed = await Runner.run(Agent(name="Judge", model=model, output_type=Verdict), "Hello")
    assert typed.final_output.answer, typed
    first = Agent(name="First", model=model, handoffs=[agent], model_settings=ModelSettings(tool_choice="required"))
    assert (await Runner.run(first, "Hello")).last_agent is agent, name


async def together():
    client = AsyncOpenAI(base_url=os.environ["KEYPOOL_URL"] + "/v1", api_key=os.environ["TOKEN"], max_retries=0)
    for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
        for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
            await talk(client, kind, name)


asyncio.run(together())
