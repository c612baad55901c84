"""Codex on the command line, in a home of its own, over the responses: one answer, with the usage it was told."""

import json
import os
import subprocess
from pathlib import Path

from cases import BASE_URL, CHAT, EMPTY_KEY, KEY, UNKNOWN, WRONG_KEY, case, check, run, saw

HERE = Path(__file__).resolve().parent
CONFIG = """model_provider = "gateway"
[model_providers.gateway]
name = "gateway"
base_url = "{0}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
home = Path.home() / ".codex"
home.mkdir()
(home / "config.toml").write_text(CONFIG.format(BASE_URL))


def codex(words, key=KEY, model=CHAT):
    command = [str(HERE / "node_modules/.bin/codex"), "exec", "--skip-git-repo-check", "--json", "-m", model, words]
    done = subprocess.run(
        command,
        env={**os.environ, "GATEWAY_KEY": key},
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )
    return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@case("chat")
def chat():
    done, events = codex("Say hello")
    check(done.returncode == 0, done.stdout[-300:], done.stderr[-300:])
    words = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    check(words and words[-1].startswith("This is the sandbox"), events)
    usage = next(event["usage"] for event in events if event["type"] == "turn.completed")
    saw(usage["input_tokens"], usage["output_tokens"])


def fails(words, **how):
    done, _ = codex("Hello", **how)
    check(done.returncode != 0 and words in done.stdout + done.stderr, done.stdout[-600:], done.stderr[-300:])


@case("wrong key")
def wrong_key():
    fails("401", key=WRONG_KEY)


@case("empty balance")
def empty_balance():
    fails("402", key=EMPTY_KEY)


@case("unknown model")
def unknown_model():
    fails("There is no model", model=UNKNOWN)


run(node="@openai/codex")
