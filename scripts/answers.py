"""A proxy in front of the simulator that generates richer responses. The simulator checks requests and responds with plain text.
This proxy replaces the text with what the request asks for: function calls with arguments that match their schema, JSON that
matches a schema, thoughts, signatures, images, speech. It also keeps batches and interactions, which the simulator does not have.
If the user's text contains `weather()`, the model calls that function."""

import base64
import http.client
import http.server
import itertools
import json
import re
import select
import socket
import threading
import urllib.parse

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SPEECH = base64.b64encode(bytes(4800)).decode()
NUMBERS = itertools.count(1)
# Enum values that older clients send as numbers.
KINDS = ["", "string", "number", "integer", "boolean", "array", "object"]
MODES = ["", "AUTO", "ANY", "NONE"]


def snake(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def get(value, *path):
    """Returns a field by its JSON name. Clients may also write it in snake case."""
    for name in path:
        value = (value or {}).get(name, (value or {}).get(snake(name)))
    return value


def example(schema, root=None, depth=0):
    """Returns a value that matches a schema (Gemini's kind or JSON schema)."""
    root = root if root is not None else schema
    schema = schema or {}
    if "$ref" in schema:
        found = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return example(found, root, depth)
    choices = get(schema, "anyOf") or get(schema, "oneOf") or get(schema, "allOf")
    if choices:
        empty = {"type": "null"}
        return example(next((choice for choice in choices if choice != empty and depth < 8), choices[-1]), root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    kind = KINDS[kind] if isinstance(kind, int) else kind.lower()
    if kind == "object":
        return {name: example(inner, root, depth + 1) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        count = max(int(get(schema, "minItems") or 0), 1 if depth < 8 else 0)
        return [example(schema.get("items", {}), root, depth + 1) for _ in range(count)]
    plain = {"integer": schema.get("minimum") or 1, "number": schema.get("minimum") or 1, "boolean": True, "null": None}
    formats = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01"}
    return plain.get(kind, formats.get(schema.get("format"), "simulated"))


def signed(part, word):
    return {**part, "thoughtSignature": base64.b64encode(f"signed {word}".encode()).decode()}


def calls(model, body):
    """Returns the function calls that a prompt asks for, by name or because the mode requires one."""
    declared = [function for tool in body.get("tools") or [] for function in get(tool, "functionDeclarations") or []]
    config = get(body, "toolConfig", "functionCallingConfig") or {}
    mode, allowed = config.get("mode") or "AUTO", get(config, "allowedFunctionNames")
    mode = MODES[mode] if isinstance(mode, int) else mode
    if not declared or mode == "NONE":
        return []
    usable = {function["name"]: function for function in declared if not allowed or function["name"] in allowed}
    last = body["contents"][-1]["parts"]
    answered = any(get(part, "functionResponse") for part in last)
    named = [name for part in last for name in re.findall(r"(\w+)\(\)", part.get("text") or "") if name in usable]
    if answered or not named:
        # The last of several functions may be the one that ends the work.
        named = [list(usable)[-1 if answered else 0]] if mode == "ANY" else []
    made = []
    for name in named:
        schema = get(usable[name], "parameters") or get(usable[name], "parametersJsonSchema") or {}
        call = {"name": name, "args": example(schema) if schema else {}}
        if model.startswith("gemini-3"):
            call["id"] = f"call-{next(NUMBERS)}"
        made.append({"functionCall": call})
    return [signed(made[0], named[0]), *made[1:]] if made else []


def unsigned(model, contents):
    """Returns the error of Gemini 3 for a function call of the current turn that comes back without a valid signature."""
    if not model.startswith("gemini-3"):
        return None
    spoken = [at for at, content in enumerate(contents) if content.get("role", "user") == "user"
              and not any(get(part, "functionResponse") for part in content["parts"])]
    for content in contents[spoken[-1] if spoken else 0:]:
        first = next((part for part in content["parts"] if get(part, "functionCall")), None)
        signature = first and get(first, "thoughtSignature")
        if first and not signature:
            return "Function call is missing a thought_signature in functionCall parts."
        words = ("context_engineering_is_the_way_to_go", "skip_thought_signature_validator")
        known = [base64.b64encode(word.encode()).decode() for word in words] + list(words)
        if first and signature not in known and not base64.b64decode(signature + "==", altchars=b"-_").startswith(b"signed "):
            return "Thought signature is not valid."
    return None


def parts(model, body):
    """Returns the parts that replace the simulator's text, or None to keep the text."""
    config = get(body, "generationConfig") or {}
    said = calls(model, body)
    kinds = [str(kind).upper() for kind in get(config, "responseModalities") or []]
    schema = get(config, "responseSchema") or get(config, "responseJsonSchema") or get(config, "_responseJsonSchema")
    if said:
        pass
    elif "IMAGE" in kinds or "-image" in model:
        said = [{"text": "Look:"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]
    elif "AUDIO" in kinds:
        said = [{"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": SPEECH}}]
    elif get(config, "responseMimeType") == "text/x.enum":
        said = [{"text": example(schema)}]
    elif schema:
        said = [{"text": json.dumps(example(schema))}]
    if get(config, "thinkingConfig", "includeThoughts"):
        said = [{"text": "I think.", "thought": True}, *(said or [signed({"text": None}, "text")])]
    return said or None


def pieces(said):
    """Yields the parts of each event: text is split into three, calls come together."""
    made = [part for part in said if "functionCall" in part]
    for part in said:
        if len(part) == 1 and part.get("text"):
            text, step = part["text"], -(-len(part["text"]) // 3)
            yield from ([{"text": text[at : at + step]}] for at in range(0, len(text), step))
        elif part not in made:
            yield [part]
    if made:
        yield made


def say(answer, said, whole):
    """Yields the simulator's chunks with these parts instead of its text, or next to it."""
    last = answer[-1]
    words = "".join(part.get("text", "") for chunk in answer for part in chunk["candidates"][0]["content"]["parts"])
    said = [{**part, "text": words} if part.get("text", "") is None else part for part in said]
    thoughts = 4 if any(part.get("thought") for part in said) else 0
    chunks = [said] if whole else list(pieces(said))
    for number, some in enumerate(chunks, 1):
        chunk = json.loads(json.dumps(last))
        for candidate in chunk["candidates"]:
            candidate["content"] = {"role": "model", "parts": some}
            candidate["finishReason"] = "STOP"
            if number < len(chunks):
                del candidate["finishReason"]
        usage = chunk["usageMetadata"]
        usage["totalTokenCount"] += thoughts
        if thoughts:
            usage["thoughtsTokenCount"] = thoughts
        yield chunk


class Kept:
    """Batches and interactions by name. Each belongs to the key that created it."""

    def __init__(self):
        self.batches, self.interactions = {}, {}

    def answer(self, method, path, key, body):
        """Returns (status, body or events), or None if the simulator should respond."""
        kind, _, name = path.removeprefix("/").partition("/")[2].partition("/")
        if kind.startswith("models") and path.endswith((":batchGenerateContent", ":asyncBatchEmbedContent")):
            name = f"batches/{next(NUMBERS):x}batch"
            state = {"state": "BATCH_STATE_PENDING", "displayName": "a batch", "model": name, "name": name}
            self.batches[name] = (key, {"name": name, "metadata": {"@type": "batch", **state}})
            return 200, self.batches[name][1]
        if kind == "batches":
            mine = {name: batch for name, (owner, batch) in self.batches.items() if owner == key}
            if not name:
                return 200, {"operations": list(mine.values())}
            name, _, action = name.partition(":")
            if f"batches/{name}" not in mine:
                return 404, error(404, "NOT_FOUND", "Requested entity was not found.")
            if method == "DELETE":
                del self.batches[f"batches/{name}"]
            return 200, {} if action or method == "DELETE" else mine[f"batches/{name}"]
        return self.interaction(method, name, key, body) if kind == "interactions" else None

    def interaction(self, method, name, key, body):
        streams = b'"stream":true' in body.replace(b" ", b"")
        name, _, query = name.partition("?")
        before = json.loads(body or b"{}").get("previous_interaction_id")
        for asked in filter(None, [name, before]):
            if self.interactions.get(asked, (None, None))[0] != key:
                return 404, {"error": {"code": "not_found", "message": "There is no such interaction."}}
        if method == "DELETE":
            del self.interactions[name]
            return 200, {}
        if method == "POST":
            name = f"interaction-{next(NUMBERS)}"
            step = {"type": "model_output", "content": [{"type": "text", "text": "Hello."}]}
            usage = {"total_input_tokens": 1, "total_output_tokens": 2, "total_tokens": 3}
            made = {"id": name, "object": "interaction", "status": "completed", "model": json.loads(body).get("model"),
                    "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "steps": [step], "usage": usage}
            self.interactions[name] = (key, made)
        made = self.interactions[name][1]
        if not streams and "stream=true" not in query:
            return 200, made
        return 200, [
            {"event_type": "interaction.created", "interaction": {**made, "status": "in_progress", "steps": []}},
            {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
            {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Hello."}},
            {"event_type": "step.stop", "index": 0},
            {"event_type": "interaction.completed", "interaction": made},
        ]


def error(code, status, message):
    return {"error": {"code": code, "message": message, "status": status}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept = Kept()

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        read = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def reply(self, status, headers, data):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle_any(self):
        if self.headers.get("Upgrade"):
            return self.tunnel()
        body, path = self.body(), urllib.parse.urlsplit(self.path).path
        key = self.headers.get("x-goog-api-key") or self.headers.get("authorization")
        kept = self.kept.answer(self.command, self.path if "/interactions/" in path else path, key, body)
        if kept:
            status, said = kept
            if isinstance(said, list):
                events = "".join(f"event: {event['event_type']}\ndata: {json.dumps(event)}\n\n" for event in said)
                return self.reply(status, [("Content-Type", "text/event-stream")], events.encode())
            return self.reply(status, [("Content-Type", "application/json")], json.dumps(said).encode())
        named = re.search(r"/models/([^/:]+):(generateContent|streamGenerateContent)$", path)
        prompt, target = None, self.path
        if named and body:
            # The simulator has no models that generate images or speech.
            prompt = json.loads(body)
            plain = {**prompt, "generationConfig": {**(get(prompt, "generationConfig") or {})}}
            plain.pop("generation_config", None)
            target = re.sub(r"/models/[^/:]*(-image|-tts)[^/:]*:", "/models/gemini-2.5-flash:", target)
            for name in ("responseModalities", "imageConfig", "speechConfig"):
                plain["generationConfig"].pop(name, plain["generationConfig"].pop(snake(name), None))
            body = json.dumps(plain).encode()
            if wrong := unsigned(named[1], prompt.get("contents") or []):
                refusal = json.dumps(error(400, "INVALID_ARGUMENT", wrong)).encode()
                return self.reply(400, [("Content-Type", "application/json")], refusal)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.simulator, timeout=60)
        dropped = ("transfer-encoding", "content-length", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        if body or self.command == "POST":
            headers["Content-Length"] = str(len(body))
        upstream.request(self.command, target, body or None, headers)
        answer = upstream.getresponse()
        data = answer.read()
        said = parts(named[1], prompt) if prompt and answer.status == 200 else None
        if said:
            events = b"text/event-stream" in answer.getheader("Content-Type", "").encode()
            if events:
                chunks = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]
            else:
                chunks = json.loads(data)
            whole = isinstance(chunks, dict)
            chunks = list(say([chunks] if whole else chunks, said, whole))
            for chunk in chunks:
                chunk["modelVersion"] = named[1]
            if events:
                data = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks).encode()
            else:
                data = json.dumps(chunks[0] if whole else chunks).encode()
        self.reply(answer.status, answer.getheaders(), data)
        upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def tunnel(self):
        with socket.create_connection(("127.0.0.1", self.server.simulator)) as other:
            head = f"{self.requestline}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            other.sendall(head.encode() + b"\r\n")
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """Ignores errors: the gateway may disconnect when its client does."""


def serve(port, simulator):
    """Serves a port in threads until `shutdown()`."""
    server = Server(("127.0.0.1", port), Handler)
    server.simulator = simulator
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
