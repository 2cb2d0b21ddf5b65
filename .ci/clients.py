"""Talks to the served simulator with the vendors' own Python clients, in every format: whole, streamed, with tools,
and with errors. What the clients read must agree with the simulator's ledger.

usage: clients.py PATH/TO/nightshift
"""
import json
import re
import subprocess
import sys
import urllib.request

import anthropic
import openai

MODEL = "sim-large"
QUESTION = "Describe a harbour at night in two sentences."
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SLOW = 30  # seconds that one call may take at most

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
        first = self.ask("What is the weather in Oslo?", tools=tools, tool_choice="required")
        self.count(first.usage)
        call = first.choices[0].message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        second = self.client.chat.completions.create(model=MODEL, max_tokens=300, tools=tools, messages=[
            {"role": "user", "content": "What is the weather in Oslo?"},
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
        ])
        self.count(second.usage)
        return call.function.name, arguments, second.choices[0].message.content

    def status_of(self, fault):
        try:
            self.ask(fail_with(fault))
        except openai.APIStatusError as error:
            return error.status_code
        return None

    def stream_fails(self):
        try:
            for _ in self.ask(fail_with(IN_STREAM), stream=True):
                pass
        except openai.APIError:
            return True
        return False


class Messages:
    def __init__(self, url, bill):
        self.client = anthropic.Anthropic(base_url=url, api_key="sk-any", max_retries=0, timeout=SLOW)
        self.bill = bill

    def ask(self, question, **more):
        return self.client.messages.create(
            model=MODEL, max_tokens=300, messages=[{"role": "user", "content": question}], **more)

    def count(self, usage):
        self.bill.add(usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
                      usage.output_tokens)

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
        first = self.ask("What is the weather in Oslo?", tools=tools, tool_choice={"type": "any"})
        self.count(first.usage)
        call = next(block for block in first.content if block.type == "tool_use")
        second = self.client.messages.create(model=MODEL, max_tokens=300, tools=tools, messages=[
            {"role": "user", "content": "What is the weather in Oslo?"},
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]},
        ])
        self.count(second.usage)
        return call.name, call.input, second.content[0].text

    def status_of(self, fault):
        try:
            self.ask(fail_with(fault))
        except anthropic.APIStatusError as error:
            return error.status_code
        return None

    def stream_fails(self):
        try:
            for _ in self.ask(fail_with(IN_STREAM), stream=True):
                pass
        except anthropic.APIError:
            return True
        return False


FORMATS = [Chat, Messages]


def check(form, url):
    """Asks in every way and returns the bill of what was answered."""
    bill = Bill()
    client = form(url, bill)
    whole, streamed = client.whole(), client.streamed()
    assert whole and whole == streamed, (whole, streamed)
    name, arguments, text = client.tools()
    assert name == "weather" and isinstance(arguments["city"], str) and text, (name, arguments, text)
    for fault, status in FAULTS.items():
        got = client.status_of(fault)
        assert got == status, f"{fault}: status {got}, want {status}"
    assert client.stream_fails(), "an error in the middle of a stream went unnoticed"
    return bill


def delivered(url):
    with urllib.request.urlopen(url + "/ledger", timeout=SLOW) as answer:
        totals = json.load(answer)
    tokens = totals["delivered_tokens"]
    given = tokens["input"] + tokens["cache_read"] + tokens["cache_write_5m"] + tokens["cache_write_1h"]
    return totals["delivered"], given, tokens["output"]


def serve(nightshift):
    """Starts the simulator on a free port, with a fault for each of the questions that ask for one."""
    faults = [f"--faults={kind}=100%;contains={fail_with(kind)}" for kind in [*FAULTS, IN_STREAM]]
    server = subprocess.Popen([nightshift, "simulate", "--addr=127.0.0.1:0", *faults], stderr=subprocess.PIPE, text=True)
    line = server.stderr.readline()
    found = re.search(r"http://[0-9.:]+", line)
    if not found:
        sys.exit(f"the simulator does not serve: {line}{server.stderr.read()}")
    return server, found.group(0)


def main():
    server, url = serve(sys.argv[1])
    try:
        answers = given = written = 0
        for form in FORMATS:
            bill = check(form, url)
            answers, given, written = answers + bill.answers, given + bill.input, written + bill.output
            print(f"{form.__name__}: whole, streamed, tools and {len(FAULTS) + 1} errors; {bill.answers} answers counted")
        assert (answers, given, written) == delivered(url), ((answers, given, written), delivered(url))
        print(f"{answers} answers, {given} input and {written} output tokens: the clients and the ledger agree")
    finally:
        server.terminate()
        server.wait(10)


main()
