"""Nothing speaks to anybody unasked: a fresh process whose every connection is written down."""

import json
import os
import subprocess
import sys

import pytest

from tests.openai_server import Reply, tool_call

WATCHED = """
import atexit, json, sys

seen = []

def watch(event, given):
    if event == "socket.connect" and isinstance(given[1], tuple):
        seen.append(str(given[1][0]))
    elif event == "socket.sendto" and isinstance(given[1], tuple):
        seen.append(str(given[1][0]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        seen.append(str(given[0]))

sys.addaudithook(watch)
atexit.register(lambda: print(json.dumps(seen)))  # the first one is called last

"""

USED = """
import base64
from rar_agent import Recognizer, recognize_image
from rar_agent.cli import main
from rar_agent.example import example_photo

assert Recognizer().recognize(example_photo()).label == "Egyptian cat"

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

photo = base64.b64encode(example_photo().read_bytes()).decode()
block = {{"type": "image", "base64": photo, "mime_type": "image/png"}}
model = ChatOpenAI(model="m", base_url={url!r}, api_key="x", max_retries=0)
agent = create_agent(model, tools=[recognize_image])
said = agent.invoke({{"messages": [{{"role": "user", "content": [block]}}]}})["messages"]
assert said[2].artifact["decision"] == "accepted", said
assert said[-1].text == "A cat."

sys.argv = ["rar-agent", "doctor"]
main()
"""


@pytest.mark.slow
def test_nothing_is_sent_to_anybody_but_the_model(server, home):
    server.script = [tool_call("recognize_image", image="image_1"), Reply("A cat.")]
    ours = ("RAR_", "LANG", "OTEL_", "HF_", "OPENAI_")
    clean = {name: os.environ[name] for name in os.environ if not name.startswith(ours)}
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED + USED.format(url=server.url)],
        env={**clean, "RAR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout.splitlines()[-1])) == {"127.0.0.1"}


def test_what_is_watched_is_seen():
    reach = "import socket\ntry: socket.create_connection(('localhost', 9), 1)\nexcept OSError: 0\n"
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED + reach], capture_output=True, text=True, check=True
    )
    assert {"localhost", "127.0.0.1"} <= set(json.loads(ran.stdout))
