"""llama-index over its Google, OpenAI-like and responses models: chats, streams, an agent, typed results, embeddings."""

import asyncio
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.google_genai import GoogleGenAIEmbedding
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]


class Verdict(BaseModel):
    answer: str


def weather(city: str) -> str:
    """The weather in a city."""
    asked.append(city)
    return f"20 degrees in {city}"


# For a function without parameters this client sends a schema that Gemini refuses.
def time(city: str) -> str:
    """What time it is in a city."""
    return "noon"


asked = []
for name in ("gemini-2.5-flash", "gemini-3.8-flash"):
    openai = dict(model=name, api_base=URL + "/v1", api_key=TOKEN, context_window=100_000, max_retries=0)
    for llm in (
        GoogleGenAI(model=name, api_key=TOKEN, http_options={"base_url": URL}),
        OpenAILike(is_chat_model=True, is_function_calling_model=True, **openai),
        OpenAIResponses(**openai),
    ):
        assert llm.complete("Hello").text, llm
        assert llm.chat([ChatMessage(role="system", content="Be brief."), ChatMessage(content="Hello")]).message.content
        assert "".join(chunk.delta or "" for chunk in llm.stream_complete("Hello")), llm
        assert llm.structured_predict(Verdict, PromptTemplate("Hello")).answer, llm

        async def together():
            tools = [FunctionTool.from_defaults(weather), FunctionTool.from_defaults(time)]
            return await FunctionAgent(tools=tools, llm=llm).run("weather() in Oslo, weather() in Rome, and time()")

        asked.clear()
        assert str(asyncio.run(together())) and len(asked) == 2, (llm, asked)
for embedding in (
    OpenAIEmbedding(model_name="gemini-embedding-001", api_base=URL + "/v1", api_key=TOKEN),
    GoogleGenAIEmbedding(model_name="gemini-embedding-001", api_key=TOKEN, http_options={"base_url": URL}),
):
    assert len(embedding.get_text_embedding_batch(["a", "b"])) == 2, embedding
