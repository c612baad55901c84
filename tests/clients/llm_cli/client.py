"""Simon Willison's ``llm`` on the command line, pointed here by its extra-openai-models.yaml."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

from cases import BASE_URL, CHAT, EMPTY_KEY, IMAGE, KEY, UNKNOWN, WEATHER, WRONG_KEY, case, check, run, saw

HOME = Path.cwd()
LLM = str(Path(sys.executable).parent / "llm")
MODEL = """- model_id: {0}
  model_name: {0}
  api_base: {1}/v1
  supports_schema: true
  vision: true
  api_key_name: tollgate
"""
(HOME / "extra-openai-models.yaml").write_text("".join(MODEL.format(name, BASE_URL) for name in (CHAT, UNKNOWN)))


def llm(*words, key=KEY, model=CHAT):
    environment = {**os.environ, "LLM_USER_PATH": str(HOME)}
    command = [LLM, "prompt", "-m", model, "--key", key, *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def answered(*words):
    done = llm("-u", *words)
    check(done.returncode == 0, done.stderr)
    used = done.stderr.replace(",", "").split("Token usage:")[1].split()
    saw(int(used[0]), int(used[2]))
    return done.stdout, int(used[0])


@case("chat")
def chat():
    check(answered("--no-stream", "Say hello")[0].startswith("This is the sandbox"))


@case("stream")
def stream():
    check(answered("Count")[0].startswith("This is the sandbox"))


@case("structured output")
def structured():
    check(set(json.loads(answered("--schema", json.dumps(WEATHER), "The weather")[0])) == {"city", "days"})


@case("image")
def image():
    (HOME / "dot.png").write_bytes(base64.b64decode(IMAGE))
    check(answered("-a", "dot.png", "What is it?")[1] > 256)


def fails(word, **how):
    done = llm("Hello", **how)
    check(done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr, done.stderr)


@case("wrong key")
def wrong_key():
    fails("Error code: 401", key=WRONG_KEY)


@case("empty balance")
def empty_balance():
    fails("Error code: 402", key=EMPTY_KEY)


@case("unknown model")
def unknown_model():
    fails("Error code: 404", model=UNKNOWN)


run("llm", "openai")
