"""LangChain's and LangGraph's agents: parallel calls, streams, and a continued conversation."""

import asyncio
import os

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
ASKED = {"role": "user", "content": "weather() in Oslo, weather() in Rome, and time()"}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


@tool
def time() -> str:
    """What time it is."""
    return "noon"


def kinds(messages):
    return [message.type for message in messages]


for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
    wish = dict(model=name, max_retries=0)
    for chat in (
        ChatGoogleGenerativeAI(google_api_key=TOKEN, base_url=URL, **wish),
        ChatOpenAI(api_key=TOKEN, base_url=URL + "/v1", **wish),
        ChatOpenAI(api_key=TOKEN, base_url=URL + "/v1", use_responses_api=True, reasoning={"summary": "auto"}, **wish),
        ChatAnthropic(api_key=TOKEN, base_url=URL, max_tokens=4000, **wish),
        ChatAnthropic(api_key=TOKEN, base_url=URL, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 1024}, **wish),
    ):
        agent = create_agent(chat, [weather, time], system_prompt="Be brief.")
        done = agent.invoke({"messages": [ASKED]})["messages"]
        assert kinds(done) == ["human", "ai", "tool", "tool", "tool", "ai"] and done[-1].text, (chat, done)
        # The whole conversation is sent back, and continues with more calls.
        again = agent.invoke({"messages": [*done, ASKED]})["messages"]
        assert kinds(again[6:]) == kinds(done) and again[-1].text, (chat, again)
        streamed = agent.stream({"messages": [ASKED]}, stream_mode="messages")
        assert "".join(token.text for token, _ in streamed if token.type == "AIMessageChunk").endswith(done[-1].text), chat


async def together():
    chat = ChatGoogleGenerativeAI(model="gemini-3.8-flash", google_api_key=TOKEN, base_url=URL, max_retries=0)
    done = (await create_react_agent(chat, [weather, time]).ainvoke({"messages": [ASKED]}))["messages"]
    assert kinds(done) == ["human", "ai", "tool", "tool", "tool", "ai"], done


asyncio.run(together())
