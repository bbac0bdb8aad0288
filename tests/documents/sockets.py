"""Holds an AsyncAPI document against the server that it describes: sends every example that clients
may send, and finds for every frame that comes the one message that it is, and for every message of
the server's a frame. Prints what does not fit; usage: sockets.py DOCUMENT SERVER COOKIES ORIGIN."""

import json
import sys
import time
from contextlib import ExitStack

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from websockets.sync.client import connect

SOON = 30  # seconds
DELTAS = "?mode=delta"

document_path, server, cookies, origin = sys.argv[1:]
document = yaml.safe_load(open(document_path, encoding="utf-8"))


def at(reference):
    part = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return at(part["$ref"]) if "$ref" in part else part


def last(reference):
    return reference["$ref"].rsplit("/", 1)[1]


def close(schema):
    """Allows no field that is not listed, so that a frame with one is noticed."""
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, (dict, list)):
            close(part)
    if isinstance(schema, dict) and "properties" in schema:
        schema.setdefault("additionalProperties", False)


def references(part):
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        part = part.values()
    if not isinstance(part, (str, int, float, type(None))):
        for inner in part:
            yield from references(inner)


messages = document["components"]["messages"]
for message in messages.values():
    close(message["payload"])
close(document["components"]["schemas"])
for reference in references(document):
    at(reference)
for name in messages:
    Draft202012Validator.check_schema(messages[name]["payload"])
validators = {
    name: Draft202012Validator(
        {"components": document["components"], "$ref": f"#/components/messages/{name}/payload"},
        format_checker=FormatChecker(),
    )
    for name in messages
}

for name, message in messages.items():
    assert message["examples"], name
    for example in message["examples"]:
        validators[name].validate(example["payload"])


sockets = ExitStack()


class Channel:
    """An open socket, with the messages that may come and the frames that came."""

    def __init__(self, name, query=""):
        self.name = name
        self.answers = set()
        for operation in document["operations"].values():
            if last(operation["channel"]) != name:
                continue
            sent = operation.get("reply") if operation["action"] == "receive" else operation
            listed = sent.get("messages")
            self.answers |= {last(m) for m in listed} if listed else set(document["channels"][name]["messages"])
        self.frames = []
        address = document["channels"][name]["address"] + query
        headers = {"Cookie": cookies}
        self.socket = sockets.enter_context(connect(server + address, additional_headers=headers, origin=origin))

    def wait_for(self, names):
        """Reads until one of these messages has come, and gives it."""
        deadline = time.monotonic() + SOON
        while True:
            try:
                frame = json.loads(self.socket.recv(timeout=deadline - time.monotonic()))
            except TimeoutError:
                sys.exit(f"{self.name}: none of {sorted(names)} came")
            kinds = [name for name in sorted(self.answers) if validators[name].is_valid(frame)]
            if len(kinds) != 1:
                for name in sorted(self.answers):
                    for error in validators[name].iter_errors(frame):
                        print(f"  not {name}: {error.json_path}: {error.message}")
                sys.exit(f"{self.name}: a frame that is {kinds or 'nothing'}: {json.dumps(frame)}")
            self.frames.append((kinds[0], frame))
            if kinds[0] in names:
                return frame

    def has(self, name):
        """Reads until this message has come, if it has not."""
        if not any(kind == name for kind, _ in self.frames):
            self.wait_for({name})


channels = {name: Channel(name) for name in document["channels"]}
deltas = Channel("readSource", DELTAS)
taking = {last(operation["channel"]) for operation in document["operations"].values() if operation["action"] == "receive"}
readers = [channel for name, channel in channels.items() if name not in taking]
for channel in readers:
    channel.wait_for(channel.answers)
channels["readSource"].wait_for({"list"})
deltas.wait_for({"list"})

sent = set()
for name, operation in document["operations"].items():
    if operation["action"] != "receive":
        continue
    channel = channels[last(operation["channel"])]
    if name == "answerPing":
        channel = deltas
    for reference in operation["messages"]:
        sent.add(last(reference))
        for example in at(reference["$ref"])["examples"]:
            message = dict(example["payload"])
            if message.get("run_id") == messages["step"]["examples"][0]["payload"]["run_id"]:
                # The run that was started before.
                message["run_id"] = [frame for kind, frame in channel.frames if kind == "step"][-1]["run_id"]
            channel.socket.send(json.dumps(message))
            channel.wait_for({last(answer) for answer in operation["reply"]["messages"]})
            if name == "startStep":
                channel.has("step")

# What comes of it for those who only look, and what is not taken.
deltas.has("delta")
channels["source"].has("changed")
channels["dataSourceActivation"].has("toggled")
for channel in channels.values():
    if "notTaken" in channel.answers:
        channel.socket.send(b"\x00")
        channel.wait_for({"notTaken"})

came = {}
for channel in [*channels.values(), deltas]:
    for kind, frame in channel.frames:
        came.setdefault(kind, []).append(frame)
# Nobody edits here what can only be read, so of a list no delta comes. It is made as that of readSource.
unedited = {name for channel in readers for name in channel.answers}
if never := set(messages) - set(came) - sent - unedited:
    sys.exit(f"described, but never seen: {sorted(never)}")
for name, frames in came.items():
    for example in messages[name]["examples"]:
        keys = set(example["payload"])
        if not any(set(frame) == keys for frame in frames):
            sys.exit(f"{name}: no frame has the keys of the example, {sorted(keys)}")
print({name: len(frames) for name, frames in sorted(came.items())})
sockets.close()
