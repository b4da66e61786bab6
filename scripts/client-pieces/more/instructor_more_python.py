"""instructor in its modes, with nested and optional fields, lists and partial results, over openai, anthropic and genai."""

import enum
import os
from typing import Literal, Optional, Union

import anthropic
import instructor
import openai
from google import genai
from pydantic import BaseModel, Field

URL, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]


class Kind(enum.Enum):
    A = "a"
    B = "b"


class Address(BaseModel):
    street: str
    zip: Optional[str] = None


class Person(BaseModel):
    """A person."""

    name: str = Field(description="first and last", min_length=1)
    age: int = Field(ge=0, le=150)
    kind: Literal["a", "b"]
    size: Literal["s", "m"]
    address: Address
    others: list[Address] = Field(default_factory=list)
    either: Union[int, str]


HELLO = [{"role": "user", "content": "Bob is 40"}]
client = openai.OpenAI(base_url=URL + "/v1", api_key=TOKEN, max_retries=0)
modes = instructor.Mode
for model in ("gemini-2.5-flash", "gemini-3.8-flash"):
    for mode in (modes.TOOLS, modes.TOOLS_STRICT, modes.JSON_SCHEMA, modes.RESPONSES_TOOLS):
        wish = dict(model=model, messages=HELLO)
        made = instructor.from_openai(client, mode=mode)
        person = made.chat.completions.create(response_model=Person, **wish)
        assert isinstance(person, Person), (mode, person)
        if mode in (modes.TOOLS, modes.JSON_SCHEMA):
            last = None
            for last in made.chat.completions.create_partial(response_model=Person, **wish):
                pass
            assert last.name, (mode, last)
        if mode == modes.JSON_SCHEMA:
            assert list(made.chat.completions.create_iterable(response_model=Address, **wish)), mode
    made = instructor.from_anthropic(anthropic.Anthropic(base_url=URL, api_key=TOKEN, max_retries=0))
    person = made.messages.create(model=model, max_tokens=1000, messages=HELLO, response_model=Person)
    assert isinstance(person, Person), person

    class Flat(BaseModel):
        name: str
        age: Optional[int]

    google = genai.Client(api_key=TOKEN, http_options={"base_url": URL})
    for mode in (modes.GENAI_TOOLS, modes.GENAI_STRUCTURED_OUTPUTS):
        made = instructor.from_genai(google, mode=mode)
        person = made.chat.completions.create(model=model, messages=HELLO, response_model=Flat)
        assert isinstance(person, Flat), (mode, person)
