"""The loop that people write: asyncio.gather with a semaphore, one line per answer."""
import asyncio
import json
import sys

client, url, rows, out, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])


def asker():
    if client == "openai":
        import openai
        api = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", timeout=600)
        return lambda messages: api.chat.completions.create(model="sim-large", messages=messages)
    import litellm
    litellm.suppress_debug_info = True
    return lambda messages: litellm.acompletion(model="openai/sim-large", api_base=url + "/v1", api_key="none", messages=messages)


async def main():
    ask, gate = asker(), asyncio.Semaphore(concurrency)
    with open(rows) as f, open(out, "w") as o:
        async def one(line):
            prompt = json.loads(line)["prompt"]
            async with gate:
                answer = await ask([{"role": "user", "content": prompt}])
            o.write(json.dumps({"prompt": prompt, "text": answer.choices[0].message.content}) + "\n")
        await asyncio.gather(*(one(line) for line in f))


asyncio.run(main())
