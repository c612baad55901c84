"""Claude Code on the command line, in a home of its own: one printed answer, with the usage it was told."""

import json
import os
import subprocess
from pathlib import Path

import cases
from cases import BASE_URL, CHAT, EMPTY_KEY, KEY, UNKNOWN, WRONG_KEY, case, check, run

HERE = Path(__file__).resolve().parent


def claude(*words, key=KEY, model=CHAT):
    environment = {
        **os.environ,
        "ANTHROPIC_BASE_URL": BASE_URL,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": CHAT,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
    }
    command = [str(HERE / "node_modules/.bin/claude"), "-p", *words, "--output-format", "json"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
    )
    return done, json.loads(done.stdout) if done.stdout.startswith("{") else {"result": done.stdout + done.stderr}


@case("chat")
def chat():
    done, told = claude("Say hello")
    check(done.returncode == 0 and not told["is_error"], told)
    check(told["result"].startswith("This is the sandbox"), told["result"])
    usage = told["usage"]
    cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    cases.saw(usage["input_tokens"] + cached, usage["output_tokens"])


def fails(status, **how):
    done, told = claude("Hello", **how)
    check(done.returncode != 0 or told.get("is_error"), told)
    check(told.get("api_error_status") == status or str(status) in told["result"], told)


@case("wrong key")
def wrong_key():
    fails(401, key=WRONG_KEY)


@case("empty balance")
def empty_balance():
    fails(402, key=EMPTY_KEY)


@case("unknown model")
def unknown_model():
    _, told = claude("Hello", model=UNKNOWN)
    check(told.get("is_error") and UNKNOWN in told["result"], told)


run(node="@anthropic-ai/claude-code")
