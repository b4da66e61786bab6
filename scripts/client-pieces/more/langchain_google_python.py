"""langchain-google-genai: invoke, stream, batch, async, tools, structured output, images, embeddings, token counts."""

import asyncio
import os

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from pydantic import BaseModel

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@tool
def weather(city: str, unit: str | None = None) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


class Part(BaseModel):
    name: str
    weight: float | None = None


class Verdict(BaseModel):
    answer: str
    parts: list[Part]


for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
    chat = ChatGoogleGenerativeAI(model=name, google_api_key=TOKEN, base_url=URL, max_retries=0)
    said = chat.invoke([SystemMessage("Be brief."), HumanMessage("Hello")])
    assert said.text and said.usage_metadata["total_tokens"], said
    assert "".join(chunk.text for chunk in chat.stream("Hello"))
    assert all(one.text for one in chat.batch(["Hello", "Again"]))
    assert chat.get_num_tokens("Hello there")
    asked = [HumanMessage("What is the weather in Oslo?")]
    called = chat.bind_tools([weather], tool_choice="any").invoke(asked)
    (call,) = called.tool_calls
    result = ToolMessage(content=weather.invoke(call["args"]), tool_call_id=call["id"])
    assert chat.bind_tools([weather]).invoke(asked + [called, result]).text
    for method in ("json_schema", "function_calling", "json_mode"):
        answer = chat.with_structured_output(Verdict, method=method).invoke("Hello")
        assert method == "json_mode" or answer.answer, (method, answer)
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert chat.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])]).text

    async def together():
        assert all(one.text for one in await chat.abatch(["Hello", "Again", "More"]))
        assert "".join([chunk.text async for chunk in chat.astream("Hello")])

    asyncio.run(together())

embeddings = GoogleGenerativeAIEmbeddings(model="gemini-embedding-001", google_api_key=TOKEN, base_url=URL)
assert len(embeddings.embed_documents(["a", "b"])) == 2
assert embeddings.embed_query("a")
try:
    ChatGoogleGenerativeAI(model="no-such-model", google_api_key=TOKEN, base_url=URL, max_retries=0).invoke("Hello")
    raise SystemExit("expected an exception")
except Exception as error:
    assert "404" in str(error) or "not found" in str(error).lower(), repr(error)
