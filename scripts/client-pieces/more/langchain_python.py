"""langchain-openai and langchain-anthropic: invoke, stream, tools with an agent's second turn, structured output."""

import os

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


class Verdict(BaseModel):
    answer: str


for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    chats = [
        ChatOpenAI(model=model, base_url=URL + "/v1", api_key=TOKEN, max_retries=0),
        ChatOpenAI(model=model, base_url=URL + "/v1", api_key=TOKEN, max_retries=0, use_responses_api=True),
        ChatAnthropic(model=model, base_url=URL, api_key=TOKEN, max_retries=0, max_tokens=500),
    ]
    for chat in chats:
        assert chat.invoke("Hello").text, chat
        assert "".join(chunk.text for chunk in chat.stream("Hello")), chat
        asked = [HumanMessage("What is the weather in Oslo?")]
        called = chat.bind_tools([weather], tool_choice="any").invoke(asked)
        (call,) = called.tool_calls
        result = ToolMessage(content=weather.invoke(call["args"]), tool_call_id=call["id"])
        assert chat.bind_tools([weather]).invoke(asked + [called, result]).text
        assert chat.with_structured_output(Verdict).invoke("Hello").answer
embeddings = OpenAIEmbeddings(
    model="gemini-embedding-001", base_url=URL + "/v1", api_key=TOKEN, dimensions=64, check_embedding_ctx_length=False
)
assert len(embeddings.embed_documents(["a", "b"])[1]) == 64
