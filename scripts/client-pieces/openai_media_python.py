"""openai in Python: images, speech, transcripts. An unsupported parameter is named in the error."""

import base64
import os

import openai

client = openai.OpenAI(base_url=os.environ["KEYPOOL_URL"] + "/v1", api_key=os.environ["TOKEN"], max_retries=0)


def refused(param, call):
    try:
        call()
    except openai.BadRequestError as error:
        assert error.param == param, error.body
        return
    raise AssertionError(f"expected a 400 that names {param}")


wish = dict(model="gemini-2.5-flash-image", prompt="a dot", n=2, size="1024x1024", response_format="b64_json")
images = client.images.generate(**wish)
assert [base64.b64decode(image.b64_json)[:4] for image in images.data] == [b"\x89PNG"] * 2, images
dot = ("dot.png", base64.b64decode(images.data[0].b64_json))
for originals in (dot, [dot, dot]):
    edited = client.images.edit(model="gemini-2.5-flash-image", image=originals, prompt="in red", n=2)
    assert [base64.b64decode(image.b64_json)[:4] for image in edited.data] == [b"\x89PNG"] * 2, edited
refused("mask", lambda: client.images.edit(model="gemini-2.5-flash-image", image=dot, mask=dot, prompt="in red"))
refused("response_format", lambda: client.images.generate(model="gemini-2.5-flash-image", prompt="p", response_format="url"))

wish = dict(model="gemini-3.8-flash-tts", input="Hi.", voice="alloy", instructions="Whisper.")
wav = client.audio.speech.create(**wish, response_format="wav").read()
assert wav[:4] == b"RIFF" and wav[8:12] == b"WAVE", wav
with client.audio.speech.with_streaming_response.create(**wish, response_format="pcm") as response:
    assert b"".join(response.iter_bytes()) == wav[44:]
assert client.audio.speech.create(**wish).read()[:4] == b"RIFF"
# OpenAI's default format is accepted like no format.
assert client.audio.speech.create(**wish, response_format="mp3").read()[:4] == b"RIFF"
refused("response_format", lambda: client.audio.speech.create(**wish, response_format="flac"))

heard = dict(model="gemini-2.5-flash", file=("hi.wav", wav))
transcript = client.audio.transcriptions.create(**heard, language="en", prompt="a greeting")
assert transcript.text and transcript.usage.total_tokens > 0, transcript
assert client.audio.transcriptions.create(**heard, response_format="text").strip() == transcript.text
events = list(client.audio.transcriptions.create(**heard, stream=True))
assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == transcript.text
assert events[-1].type == "transcript.text.done" and events[-1].text == transcript.text
assert client.audio.translations.create(**heard).text
refused("response_format", lambda: client.audio.transcriptions.create(**heard, response_format="srt"))
