"""instructor: typed results through tools and JSON schemas."""

import os

import instructor
import openai
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


client = openai.OpenAI(base_url=os.environ["KEYPOOL_URL"] + "/v1", api_key=os.environ["TOKEN"], max_retries=0)
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    person = instructor.from_openai(client, mode=mode).chat.completions.create(
        model="gemini-2.5-flash", response_model=Person, messages=[{"role": "user", "content": "Bob is 40"}]
    )
    assert isinstance(person, Person), person
