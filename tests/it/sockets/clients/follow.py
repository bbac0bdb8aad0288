"""Follows lists with the `websockets` package until they show a source of the country "the end".

The first argument is a JSON list of sockets: {"name", "url", "deflate"}. Prints two lines of JSON:
"ready" once each shows a list, and what each showed at the end: {name: {"extensions", "rows"}}.
"""

import asyncio
import json
import sys

import websockets


def merge(rows, message):
    """The rows by id after a list or a delta."""
    if "data" in message:
        rows = {}
    for row in message.get("data", message.get("changed")):
        rows[row["id"]] = row
    for gone in message.get("deleted", []):
        rows.pop(gone, None)
    return rows


async def follow(url, deflate, shows):
    """What the list at `url` shows at the end; `shows` is told when it shows one at all."""
    compression = "deflate" if deflate else None
    async with websockets.connect(url, compression=compression, max_size=None) as socket:
        rows = {}
        async for text in socket:
            rows = merge(rows, json.loads(text))
            shows.set()
            if any(row["country"] == "the end" for row in rows.values()):
                break
        names = [extension.name for extension in socket.protocol.extensions]
        return {"extensions": ",".join(names), "rows": list(rows.values())}


async def main():
    sockets = json.loads(sys.argv[1])
    shows = [asyncio.Event() for _ in sockets]
    ends = asyncio.gather(
        *(follow(s["url"], s["deflate"], event) for s, event in zip(sockets, shows))
    )
    for event in shows:
        await event.wait()
    print(json.dumps("ready"), flush=True)
    print(json.dumps({s["name"]: end for s, end in zip(sockets, await ends)}))


asyncio.run(main())
