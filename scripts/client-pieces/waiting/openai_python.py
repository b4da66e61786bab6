"""openai in Python with its own retries, while the gateway does not wait for a key: there is no retry storm. Each client
retries when Retry-After says, and all are served."""

import concurrent.futures
import os
import re
import time
import urllib.request

import openai

BASE, TOKEN = os.environ["KEYPOOL_URL"], os.environ["TOKEN"]
CLIENTS, RETRIES = 8, 10


def asked():
    """Number of requests that the gateway has served or refused so far."""
    with urllib.request.urlopen(BASE + "/-/metrics") as page:
        text = page.read().decode()
    return sum(int(n) for n in re.findall(r"^keypool_gateway_requests_total\{.*\} (\d+)", text, re.M))


def ask(_):
    client = openai.OpenAI(base_url=BASE + "/v1", api_key=TOKEN, max_retries=RETRIES)
    client.chat.completions.create(model="gemini-2.5-flash", messages=[{"role": "user", "content": "Hello"}])


before, began = asked(), time.monotonic()
with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
    list(pool.map(ask, range(CLIENTS)))
seconds, sent = time.monotonic() - began, asked() - before
# At most one request per client and second, plus the first.
assert CLIENTS < sent <= CLIENTS * (seconds + 2), (sent, seconds)
print(f"waiting: {sent} requests of {CLIENTS} clients in {seconds:.1f} s")
