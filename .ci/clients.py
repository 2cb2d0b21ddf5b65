"""Talks to the served simulator with the vendors' own Python clients, in every format: whole, streamed, with tools,
with errors, and in batches. What the clients read must agree with the simulator's ledger.

usage: clients.py PATH/TO/nightshift
"""
import io
import json
import re
import subprocess
import sys
import time
import urllib.request

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

MODEL = "sim-large"
QUESTION = "Describe a harbour at night in two sentences."
CITY_QUESTION = "What is the weather in Oslo?"
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SLOW = 30  # seconds that one call may take at most
ROWS = 7  # of a batch
TIMES = "scale=100,validate=20s,run=20s,cancel=10s"  # of batches: a hundredth of them, in fact

# What goes wrong when the question asks for it: the fault, and the HTTP status that the client must report.
FAULTS = {"auth": 401, "forbidden": 403, "not_found": 404, "bad_request": 400, "rate_limit": 429, "server_error": 500}
IN_STREAM = "error_in_stream"


def fail_with(fault):
    return f"Please fail with {fault} now."


class Bill:
    """Adds up what answers say that they used."""

    def __init__(self):
        self.input = self.output = self.answers = 0

    def add(self, input_tokens, output_tokens):
        self.input += input_tokens
        self.output += output_tokens
        self.answers += 1


class Chat:
    def __init__(self, url, bill):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, question, **more):
        return self.client.chat.completions.create(
            model=MODEL, max_tokens=300, messages=[{"role": "user", "content": question}], **more)

    def count(self, usage):
        self.bill.add(usage.prompt_tokens, usage.completion_tokens)

    def whole(self):
        answer = self.ask(QUESTION)
        self.count(answer.usage)
        assert answer.choices[0].finish_reason == "stop", answer
        return answer.choices[0].message.content

    def streamed(self):
        text = ""
        for chunk in self.ask(QUESTION, stream=True, stream_options={"include_usage": True}):
            if chunk.usage:
                self.count(chunk.usage)
            for choice in chunk.choices:
                text += choice.delta.content or ""
        return text

    def tools(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
        first = self.ask(CITY_QUESTION, tools=tools, tool_choice="required")
        self.count(first.usage)
        call = first.choices[0].message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        second = self.client.chat.completions.create(model=MODEL, max_tokens=300, tools=tools, messages=[
            {"role": "user", "content": CITY_QUESTION},
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
        ])
        self.count(second.usage)
        return call.function.name, arguments, second.choices[0].message.content

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))

    def stream_fails(self):
        return raises(lambda: list(self.ask(fail_with(IN_STREAM), stream=True)))


class Messages:
    def __init__(self, url, bill):
        self.client = anthropic.Anthropic(base_url=url, api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, question, **more):
        return self.client.messages.create(
            model=MODEL, max_tokens=300, messages=[{"role": "user", "content": question}], **more)

    def count(self, usage):
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        self.bill.add(usage.input_tokens + cached, usage.output_tokens)

    def whole(self):
        answer = self.ask(QUESTION)
        self.count(answer.usage)
        assert answer.stop_reason == "end_turn", answer
        return answer.content[0].text

    def streamed(self):
        with self.client.messages.stream(
                model=MODEL, max_tokens=300, messages=[{"role": "user", "content": QUESTION}]) as stream:
            text = "".join(stream.text_stream)
            self.count(stream.get_final_message().usage)
        return text

    def tools(self):
        tools = [{"name": "weather", "description": "Weather of a city", "input_schema": TOOL}]
        first = self.ask(CITY_QUESTION, tools=tools, tool_choice={"type": "any"})
        self.count(first.usage)
        call = next(block for block in first.content if block.type == "tool_use")
        second = self.client.messages.create(model=MODEL, max_tokens=300, tools=tools, messages=[
            {"role": "user", "content": CITY_QUESTION},
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]},
        ])
        self.count(second.usage)
        return call.name, call.input, second.content[0].text

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))

    def stream_fails(self):
        return raises(lambda: list(self.ask(fail_with(IN_STREAM), stream=True)))


class Responses:
    def __init__(self, url, bill):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, question, **more):
        return self.client.responses.create(model=MODEL, max_output_tokens=300, store=False, input=question, **more)

    def count(self, usage):
        self.bill.add(usage.input_tokens, usage.output_tokens)

    def whole(self):
        answer = self.ask(QUESTION)
        self.count(answer.usage)
        assert answer.status == "completed", answer
        return answer.output_text

    def streamed(self):
        text = ""
        for event in self.ask(QUESTION, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.completed":
                self.count(event.response.usage)
        return text

    def tools(self):
        tools = [{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}]
        first = self.ask(CITY_QUESTION, tools=tools, tool_choice="required")
        self.count(first.usage)
        call = next(item for item in first.output if item.type == "function_call")
        second = self.ask([
            {"role": "user", "content": CITY_QUESTION},
            *[item.model_dump(exclude_none=True) for item in first.output],
            {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."},
        ], tools=tools)
        self.count(second.usage)
        return call.name, json.loads(call.arguments), second.output_text

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))

    def stream_fails(self):
        """The client hands errors of a stream on as events, and raises those that are not in the format's own shape."""
        try:
            ends = [event.type for event in self.ask(fail_with(IN_STREAM), stream=True)]
        except openai.APIError:
            return True
        return "error" in ends or "response.failed" in ends


class Completions:
    tools = None

    def __init__(self, url, bill):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, question, **more):
        return self.client.completions.create(model=MODEL, max_tokens=300, prompt=question, **more)

    def count(self, usage):
        self.bill.add(usage.prompt_tokens, usage.completion_tokens)

    def whole(self):
        answer = self.ask(QUESTION)
        self.count(answer.usage)
        assert answer.choices[0].finish_reason == "stop", answer
        return answer.choices[0].text

    def streamed(self):
        text = ""
        for chunk in self.ask(QUESTION, stream=True, stream_options={"include_usage": True}):
            if chunk.usage:
                self.count(chunk.usage)
            text += "".join(choice.text for choice in chunk.choices)
        return text

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))

    def stream_fails(self):
        return raises(lambda: list(self.ask(fail_with(IN_STREAM), stream=True)))


class Gemini:
    def __init__(self, url, bill):
        options = genai_types.HttpOptions(base_url=url, timeout=SLOW * 1000)
        self.client = genai.Client(api_key="any", vertexai=False, http_options=options)
        self.bill = bill

    def ask(self, question, stream=False, **more):
        models = self.client.models
        call = models.generate_content_stream if stream else models.generate_content
        config = genai_types.GenerateContentConfig(max_output_tokens=300, **more)
        return call(model=MODEL, contents=question, config=config)

    def count(self, usage):
        self.bill.add(usage.prompt_token_count, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0))

    def whole(self):
        answer = self.ask(QUESTION)
        self.count(answer.usage_metadata)
        assert answer.candidates[0].finish_reason == genai_types.FinishReason.STOP, answer
        return answer.text

    def streamed(self):
        text, usage = "", None
        for chunk in self.ask(QUESTION, stream=True):
            text += chunk.text or ""
            usage = chunk.usage_metadata or usage
        self.count(usage)
        return text

    def tools(self):
        declared = genai_types.Tool(function_declarations=[genai_types.FunctionDeclaration(
            name="weather", parameters_json_schema=TOOL)])
        forced = genai_types.ToolConfig(function_calling_config=genai_types.FunctionCallingConfig(mode="ANY"))
        first = self.ask(CITY_QUESTION, tools=[declared], tool_config=forced)
        self.count(first.usage_metadata)
        call = first.function_calls[0]
        result = genai_types.Part.from_function_response(name=call.name, response={"result": "Rain."})
        second = self.ask([
            genai_types.Content(role="user", parts=[genai_types.Part(text=CITY_QUESTION)]),
            first.candidates[0].content,
            genai_types.Content(role="user", parts=[result]),
        ], tools=[declared])
        self.count(second.usage_metadata)
        return call.name, call.args, second.text

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))

    def stream_fails(self):
        return raises(lambda: list(self.ask(fail_with(IN_STREAM), stream=True)))


class Embeddings:
    tools = streamed = stream_fails = None

    def __init__(self, url, bill):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, *texts):
        return self.client.embeddings.create(model="sim-embedding", input=list(texts))

    def whole(self):
        answer = self.ask("one", "two", "one")
        self.bill.add(answer.usage.prompt_tokens, 0)
        first, second, again = (item.embedding for item in sorted(answer.data, key=lambda item: item.index))
        assert first == again and first != second, "equal texts have equal vectors"
        return first

    def status_of(self, fault):
        return status(lambda: self.ask(fail_with(fault)))


class GeminiEmbeddings(Embeddings):
    counts = False  # the format has no usage

    def __init__(self, url, bill):
        options = genai_types.HttpOptions(base_url=url, timeout=SLOW * 1000)
        self.client = genai.Client(api_key="any", vertexai=False, http_options=options)
        self.bill = bill

    def ask(self, *texts):
        return self.client.models.embed_content(model="sim-embedding", contents=list(texts))

    def whole(self):
        first, second, again = (item.values for item in self.ask("one", "two", "one").embeddings)
        assert first == again and first != second, "equal texts have equal vectors"
        return first


class OpenAIBatches:
    """Batches over files, one for each endpoint."""
    bodies = {
        "/v1/chat/completions": lambda text: {
            "model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": text}]},
        "/v1/responses": lambda text: {"model": MODEL, "max_output_tokens": 50, "input": text},
        "/v1/completions": lambda text: {"model": MODEL, "max_tokens": 50, "prompt": text},
        "/v1/embeddings": lambda text: {"model": "sim-embedding", "input": text},
    }

    def __init__(self, url, bill):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def make(self, endpoint, rows):
        body = self.bodies[endpoint]
        lines = [json.dumps({"custom_id": f"row-{i}", "method": "POST", "url": endpoint, "body": body(f"Question {i}?")})
                 for i in range(rows)]
        file = self.client.files.create(file=("rows.jsonl", "\n".join(lines).encode()), purpose="batch")
        assert file.id in [other.id for other in self.client.files.list(purpose="batch")]
        made = self.client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"purpose": "check"})
        assert made.status == "validating" and made.metadata == {"purpose": "check"}, made
        return made.id

    def read(self):
        for made in [self.make(endpoint, ROWS) for endpoint in self.bodies]:
            batch = until(lambda: self.client.batches.retrieve(made), lambda batch: batch.status == "completed")
            assert batch.request_counts.completed == ROWS and batch.error_file_id is None, batch
            rows = [json.loads(line) for line in self.client.files.content(batch.output_file_id).text.splitlines()]
            assert sorted(row["custom_id"] for row in rows) == sorted(f"row-{i}" for i in range(ROWS))
            for row in rows:
                usage = row["response"]["body"]["usage"]
                given = usage.get("prompt_tokens", usage.get("input_tokens"))
                self.bill.add(given, usage.get("completion_tokens", usage.get("output_tokens", 0)))
            for file in (batch.input_file_id, batch.output_file_id):
                assert self.client.files.delete(file).deleted

    def cancel(self):
        made = self.make("/v1/chat/completions", ROWS)
        until(lambda: self.client.batches.retrieve(made), lambda batch: batch.status == "in_progress")
        assert self.client.batches.cancel(made).status == "cancelling"
        until(lambda: self.client.batches.retrieve(made), lambda batch: batch.status == "cancelled")
        assert made in [batch.id for batch in self.client.batches.list(limit=1)], "not on the pages of the list"

    def unknown(self):
        return status(lambda: self.client.batches.retrieve("batch_none"))


class MessageBatches:
    """Batches whose requests travel in the call."""

    def __init__(self, url, bill):
        self.client = anthropic.Anthropic(base_url=url, api_key="sk-any", max_retries=0, timeout=SLOW)
        self.batches = self.client.messages.batches
        self.bill = bill

    def make(self):
        made = self.batches.create(requests=[
            {"custom_id": f"row-{i}", "params": {
                "model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": f"Question {i}?"}]}}
            for i in range(ROWS)])
        assert made.processing_status == "in_progress" and made.request_counts.processing == ROWS, made
        return made.id

    def read(self):
        made = self.make()
        batch = until(lambda: self.batches.retrieve(made), lambda batch: batch.processing_status == "ended")
        assert batch.request_counts.succeeded == ROWS, batch
        rows = list(self.batches.results(made))
        assert sorted(row.custom_id for row in rows) == sorted(f"row-{i}" for i in range(ROWS))
        for row in rows:
            usage = row.result.message.usage
            assert row.result.type == "succeeded" and usage.service_tier == "batch", row
            cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
            self.bill.add(usage.input_tokens + cached, usage.output_tokens)
        assert self.batches.delete(made).id == made
        assert made not in [batch.id for batch in self.batches.list()]

    def cancel(self):
        made = self.make()
        assert self.batches.cancel(made).processing_status == "canceling"
        until(lambda: self.batches.retrieve(made), lambda batch: batch.processing_status == "ended")
        assert {row.result.type for row in self.batches.results(made)} == {"canceled"}
        assert made in [batch.id for batch in self.batches.list(limit=1)], "not on the pages of the list"

    def unknown(self):
        return status(lambda: self.batches.retrieve("msgbatch_none"))


class GeminiBatches:
    """Batches over files that are uploaded in pieces."""

    def __init__(self, url, bill):
        options = genai_types.HttpOptions(base_url=url, timeout=SLOW * 1000)
        self.client = genai.Client(api_key="any", vertexai=False, http_options=options)
        self.bill = bill

    def make(self):
        lines = [json.dumps({"key": f"row-{i}", "request": {
            "contents": [{"role": "user", "parts": [{"text": f"Question {i}?"}]}],
            "generationConfig": {"maxOutputTokens": 50}}}) for i in range(ROWS)]
        file = self.client.files.upload(
            file=io.BytesIO("\n".join(lines).encode()),
            config=genai_types.UploadFileConfig(display_name="rows", mime_type="application/jsonl"))
        config = genai_types.CreateBatchJobConfig(display_name="check")
        made = self.client.batches.create(model=MODEL, src=file.name, config=config)
        assert made.state.name == "JOB_STATE_PENDING" and made.display_name == "check", made
        return made.name

    def read(self):
        made = self.make()
        batch = until(lambda: self.client.batches.get(name=made), lambda batch: batch.state.name == "JOB_STATE_SUCCEEDED")
        content = self.client.files.download(file=batch.dest.file_name)
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert sorted(row["key"] for row in rows) == sorted(f"row-{i}" for i in range(ROWS))
        for row in rows:
            usage = row["response"]["usageMetadata"]
            self.bill.add(usage["promptTokenCount"], usage["candidatesTokenCount"])
        self.client.batches.delete(name=made)
        assert made not in [batch.name for batch in self.client.batches.list()]

    def cancel(self):
        made = self.make()
        self.client.batches.cancel(name=made)
        until(lambda: self.client.batches.get(name=made), lambda batch: batch.state.name == "JOB_STATE_CANCELLED")
        assert made in [batch.name for batch in self.client.batches.list(config={"page_size": 1})]

    def unknown(self):
        return status(lambda: self.client.batches.get(name="batches/none"))


def until(ask, done):
    """Asks until the answer is as wanted, and returns it."""
    deadline = time.monotonic() + SLOW
    while not done(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def status(call):
    """The HTTP status of the error that a call raises; None when it raises none."""
    try:
        call()
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return error.status_code
    except genai_errors.APIError as error:
        return error.code
    return None


def raises(call):
    """Whether a call raises an error of the client's own, and not some accident of its reading."""
    try:
        call()
    except (openai.APIError, anthropic.APIError, genai_errors.APIError):
        return True
    return False


BATCHES = [OpenAIBatches, MessageBatches, GeminiBatches]
FORMATS = [Chat, Messages, Responses, Gemini, Completions, Embeddings, GeminiEmbeddings]


def check(form, url):
    """Asks in every way that the format has, and returns the bill of what was answered."""
    bill = Bill()
    client = form(url, bill)
    whole = client.whole()
    assert whole
    if client.streamed:
        streamed = client.streamed()
        assert whole == streamed, (whole, streamed)
        assert client.stream_fails(), "an error in the middle of a stream went unnoticed"
    if client.tools:
        name, arguments, text = client.tools()
        assert name == "weather" and isinstance(arguments["city"], str) and text, (name, arguments, text)
    for fault, want in FAULTS.items():
        got = client.status_of(fault)
        assert got == want, f"{fault}: status {got}, want {want}"
    return bill


def check_batches(form, url):
    """Makes, reads, cancels and deletes batches, and returns the bill of what was answered."""
    bill = Bill()
    client = form(url, bill)
    client.read()
    client.cancel()
    assert client.unknown() == 404, client.unknown()
    return bill


def delivered(url, prefix=""):
    with urllib.request.urlopen(url + "/ledger", timeout=SLOW) as answer:
        totals = json.load(answer)
    tokens = totals[prefix + "delivered_tokens"]
    given = tokens["input"] + tokens["cache_read"] + tokens["cache_write_5m"] + tokens["cache_write_1h"]
    return totals[prefix + "delivered"], given, tokens["output"]


def serve(nightshift):
    """Starts the simulator on a free port, with a fault for each of the questions that ask for one."""
    faults = [f"--faults={kind}=100%;contains={fail_with(kind)}" for kind in [*FAULTS, IN_STREAM]]
    command = [nightshift, "simulate", "--addr=127.0.0.1:0", "--batches=" + TIMES, *faults]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    line = server.stderr.readline()
    found = re.search(r"http://[0-9.:]+", line)
    if not found:
        sys.exit(f"the simulator does not serve: {line}{server.stderr.read()}")
    return server, found.group(0)


def main():
    server, url = serve(sys.argv[1])
    try:
        for form in FORMATS:
            before = delivered(url)
            bill = check(form, url)
            served = [now - then for now, then in zip(delivered(url), before)]
            counted = [bill.answers, bill.input, bill.output]
            assert not getattr(form, "counts", True) or counted == served, (form.__name__, counted, served)
            print(f"{form.__name__}: answers, input and output tokens {served}, as in the ledger; {len(FAULTS)} errors")
        for form in BATCHES:
            before = delivered(url, "batch_")
            bill = check_batches(form, url)
            served = [now - then for now, then in zip(delivered(url, "batch_"), before)]
            counted = [bill.answers, bill.input, bill.output]
            assert counted == served, (form.__name__, counted, served)
            print(f"{form.__name__}: rows, input and output tokens {served}, as in the ledger")
    finally:
        server.terminate()
        server.wait(10)


main()
