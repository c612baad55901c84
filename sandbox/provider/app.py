"""The provider itself: who may ask, which conversation it is, and what goes back."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from sandbox.provider import anthropic, gemini, lists, models, openai_chat, openai_responses, problems
from sandbox.provider.books import Books, Entry
from sandbox.provider.control import Control
from sandbox.provider.exchange import PATIENCE_S, Exchange, Headers, Receive, Scope, Send
from sandbox.provider.faults import Knobs
from sandbox.provider.mind import Ask, think
from sandbox.provider.models import Model
from sandbox.provider.nonsense import disturbed, misbehaves
from sandbox.provider.problems import KINDS, Problem
from sandbox.provider.reading import Body
from sandbox.provider.tokens import Memory, Tokens
from sandbox.provider.wire import Event, Reply, data, named

HOLD_HEADER = "x-tollgate-hold"


@dataclass(frozen=True, slots=True)
class Talk:
    """One kind of conversation: how it is read and written."""

    dialect: str
    read: Callable[[Body, Model, Knobs], Ask]
    whole: Callable[[Reply, Body], Body]
    events: Callable[[Reply, Body], Iterator[Event]]


TALKS = {
    "/v1/chat/completions": Talk("openai", openai_chat.read, openai_chat.whole, openai_chat.events),
    "/v1/completions": Talk(
        "openai", openai_chat.read_completion, openai_chat.whole_completion, openai_chat.completion_events
    ),
    "/v1/responses": Talk("openai", openai_responses.read, openai_responses.whole, openai_responses.events),
    "generateContent": Talk("gemini", gemini.read, gemini.whole, gemini.events),
}


class Provider:
    """An ASGI application. ``gap_s`` is the time between two events of a stream; real providers take some."""

    def __init__(self, *, keys: Collection[str], control_key: str = "", gap_s: float = 0) -> None:
        self.keys = frozenset(keys)
        self.gap_s = gap_s
        self.books = Books()
        self.control = Control(control_key, self.books)
        self._memory = Memory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._converse(Exchange(scope, receive, send))

    async def _converse(self, exchange: Exchange) -> None:
        dialect = _dialect(exchange)
        try:
            if not await self.control.answers(exchange):
                await self._answer(exchange, dialect)
        except Problem as problem:
            await _refuse(exchange, dialect, problem)
        except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError):
            # the readers check what they use; what is odd in a way none of them thought of is still the caller's 400
            await _refuse(exchange, dialect, Problem("invalid", "The request has a shape that cannot be read."))
        finally:
            exchange.stop_watching()
            if exchange.entry is not None:
                exchange.entry.close("cut")

    async def _answer(self, exchange: Exchange, dialect: str) -> None:
        if exchange.path == "/" and exchange.method in {"GET", "HEAD"}:
            await exchange.answer(200, {}, {"object": "sandbox"})
            return
        self._admit(exchange)
        if exchange.method == "GET":
            await exchange.answer(200, _headers(exchange, dialect), _listing(exchange, dialect))
        elif exchange.method == "POST":
            await self._post(exchange, dialect)
        else:
            raise Problem("method", f"Not allowed to {exchange.method} on {exchange.path[:100]}")

    def _admit(self, exchange: Exchange) -> None:
        if exchange.key not in self.keys:
            self.books.refuse("key")
            raise Problem("auth", "Incorrect API key provided." if exchange.key else "You didn't provide an API key.")

    async def _post(self, exchange: Exchange, dialect: str) -> None:
        name, _, verb = exchange.path.rpartition("/")[2].partition(":")
        body = await exchange.json()
        given = f"{name}" if verb else str(body.get("model") or "")
        knobs = self._knobs(exchange, given)
        model = self._model(exchange, given, body)
        entry = Entry(f"req_{exchange.id}", exchange.path, model.name, exchange.headers.get(HOLD_HEADER))
        if self.control.require_hold and not entry.hold:
            self.books.refuse("hold")
            raise Problem("permission", "This call carries no open hold.", code="no_hold")
        entry.bills_anyway = knobs.has("bills-anyway")
        exchange.entry = entry
        self.books.open(entry)
        if knobs.has("status"):
            await exchange.pause(knobs.number("first-byte", 0))
            raise _told(knobs)
        if not await misbehaves(exchange, knobs):
            await self._speak(exchange, dialect, _Request(body, model, knobs, given, verb))

    def _knobs(self, exchange: Exchange, given: str) -> Knobs:
        told = exchange.headers.get("x-sandbox", "") if self.control.key else ""
        return Knobs(given.partition("+")[2], told)

    def _model(self, exchange: Exchange, given: str, body: Body) -> Model:
        if not given and exchange.path == "/v1/moderations":
            given = "sandbox-moderation"
        if not given:
            raise Problem("invalid", "you must provide a model parameter", param="model")
        try:
            return models.find(given)
        except Problem as problem:
            if exchange.path == "/v1/responses":
                raise Problem("invalid", problem.message, param="model", code=problem.code) from None
            raise

    async def _speak(self, exchange: Exchange, dialect: str, request: "_Request") -> None:
        listed = _lists(exchange, request)
        if listed is not None:
            answer, tokens = listed
            await self._complete(exchange, dialect, request, answer, tokens)
            return
        talk = _talk(exchange, request)
        ask = talk.read(request.body, request.model, request.knobs)
        reply = self._think(exchange, ask, request)
        reply.stream = bool(request.body.get("stream")) or request.verb.startswith("stream")
        if not reply.stream:
            await self._complete(exchange, dialect, request, talk.whole(reply, request.body), reply.tokens)
            return
        reply.with_usage = dialect != "openai" or openai_chat.wants_usage(request.body)
        await self._stream(exchange, dialect, request, talk.events(reply, request.body), reply.tokens)

    def _think(self, exchange: Exchange, ask: Ask, request: "_Request") -> Reply:
        thoughts = [think(ask, index) for index in range(ask.answers)]
        tokens = Tokens(input=ask.input_tokens, images=ask.images, audio=ask.audio)
        tokens.output = sum(thought.tokens for thought in thoughts)
        tokens.reasoning = sum(len(thought.reasoning) for thought in thoughts)
        owner = f"{exchange.key} {ask.model.name}"
        if exchange.path == "/v1/messages":
            tokens.cached, tokens.written_5m, tokens.written_1h = self._memory.marked(owner, ask.pieces)
        else:
            tokens.cached = self._memory.known(owner, ask.pieces)
        shows = gemini.includes_thoughts(request.body) if request.verb else None
        return Reply(exchange.id, request.name.partition("+")[0], ask, thoughts, tokens, detail=shows)

    async def _complete(
        self, exchange: Exchange, dialect: str, request: "_Request", answer: Body, tokens: Tokens
    ) -> None:
        entry = exchange.entry
        assert entry is not None
        entry.true, entry.status, entry.delivered_tokens = tokens, 200, tokens.output
        written = disturbed(answer, request.knobs)
        headers = {
            "content-type": "application/json",
            **_headers(exchange, dialect),
            "content-length": str(len(written)),
        }
        if request.knobs.has("eof", "midline", "cut", "stall"):
            headers.pop("content-length")
            entry.delivered_tokens = 0
        if not await self._begin(exchange, request, headers):
            return
        if request.knobs.has("stall") and await exchange.pause(PATIENCE_S):
            entry.close("client_gone")
            return
        entry.close(await exchange.deliver([Event(written)], request.knobs, 0))

    async def _stream(
        self, exchange: Exchange, dialect: str, request: "_Request", events: Iterable[Event], tokens: Tokens
    ) -> None:
        entry = exchange.entry
        assert entry is not None
        entry.true, entry.status, entry.stream = tokens, 200, True
        kind = "text/event-stream" if dialect == "gemini" else "text/event-stream; charset=utf-8"
        headers = {**_headers(exchange, dialect), "content-type": kind, "cache-control": "no-cache"}
        if not await self._begin(exchange, request, headers):
            return
        shaped = _faulty(events, request.knobs, dialect, exchange)
        if dialect == "gemini" and exchange.query.get("alt") != ["sse"]:
            shaped = _as_array(shaped)
        ending = await exchange.deliver(shaped, request.knobs, self.gap_s)
        entry.close("cut" if ending == "complete" and request.knobs.has("error-first", "error-later") else ending)

    async def _begin(self, exchange: Exchange, request: "_Request", headers: Headers) -> bool:
        """Wait as long as ordered and begin the answer, unless nobody waits for it any more."""
        entry = exchange.entry
        if await exchange.pause(request.knobs.number("first-byte", 0)):
            if entry is not None:
                entry.close("client_gone")
            return False
        await exchange.start(200, headers)
        return True


@dataclass(slots=True)
class _Request:
    body: Body
    model: Model
    knobs: Knobs
    name: str
    verb: str


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _dialect(exchange: Exchange) -> str:
    """Whose words to use, told from the address and from what only one company's clients send."""
    if exchange.path.startswith("/v1beta/") or ":" in exchange.path.rpartition("/")[2]:
        return "gemini"
    if exchange.path.startswith("/v1/messages"):
        return "anthropic"
    listing = exchange.path.startswith("/v1/models") and "anthropic-version" in exchange.headers
    return "anthropic" if listing else "openai"


def _talk(exchange: Exchange, request: _Request) -> Talk:
    if exchange.path == "/v1/messages":
        return Talk(
            "anthropic",
            lambda body, model, knobs: anthropic.read(body, model, knobs, exchange.headers),
            anthropic.whole,
            anthropic.events,
        )
    talk = TALKS.get(
        "generateContent" if request.verb in {"generateContent", "streamGenerateContent"} else exchange.path
    )
    if talk is None:
        raise Problem("not_found", f"Invalid URL (POST {exchange.path[:100]})")
    return talk


def _lists(exchange: Exchange, request: _Request) -> tuple[Body, Tokens] | None:
    """The answers that are no conversation, with what they used."""
    body, model = request.body, request.model
    if exchange.path == "/v1/messages/count_tokens":
        ask = anthropic.read(body, model, request.knobs, exchange.headers, counting=True)
        return {"input_tokens": ask.input_tokens}, Tokens()
    if request.verb:
        return _gemini_lists(request)
    if exchange.path == "/v1/embeddings":
        answer, tokens = lists.embeddings(body, model)
        shown = request.knobs.usages(answer.pop("usage"))
        return ({**answer, "usage": shown[-1]} if shown else answer), tokens
    if exchange.path == "/v1/rerank":
        return lists.rerank(body, model, exchange.id)
    if exchange.path == "/v1/moderations":
        return lists.moderations(body, model, exchange.id), Tokens()
    return None


def _gemini_lists(request: _Request) -> tuple[Body, Tokens] | None:
    if request.verb == "countTokens":
        inner = request.body.get("generateContentRequest") or request.body
        return gemini.count_answer(gemini.read(inner, request.model, request.knobs)), Tokens()
    if request.verb == "batchEmbedContents":
        return lists.embed_contents(request.body, request.model)
    return lists.embed_content(request.body, request.model) if request.verb == "embedContent" else None


def _listing(exchange: Exchange, dialect: str) -> Body:
    path = exchange.path.rstrip("/")
    if path == "/v1beta/models":
        return lists.gemini_models()
    if path.startswith("/v1beta/models/"):
        return lists.gemini_model(path.removeprefix("/v1beta/models/"))
    if path == "/v1/models":
        return lists.anthropic_models() if dialect == "anthropic" else lists.openai_models()
    if path.startswith("/v1/models/"):
        return lists.openai_model(path.removeprefix("/v1/models/"))
    raise Problem("not_found", f"Invalid URL (GET {exchange.path[:100]})")


def _headers(exchange: Exchange, dialect: str) -> Headers:
    """What each company sends along."""
    if dialect == "anthropic":
        reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        limits = {"requests": "4000", "tokens": "480000", "input-tokens": "400000", "output-tokens": "80000"}
        shown = {f"anthropic-ratelimit-{name}-limit": most for name, most in limits.items()}
        shown |= {f"anthropic-ratelimit-{name}-remaining": most for name, most in limits.items()}
        shown |= {f"anthropic-ratelimit-{name}-reset": reset for name in limits}
        return {"request-id": f"req_{exchange.id}", **shown}
    if dialect == "gemini":
        return {"content-type": "application/json; charset=UTF-8", "x-gemini-service-tier": "standard"}
    return {
        "x-request-id": f"req_{exchange.id}",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999900",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "3ms",
    }


async def _refuse(exchange: Exchange, dialect: str, problem: Problem) -> None:
    if exchange.entry is not None:
        if exchange.entry.outcome != "open" or exchange.entry.status:
            return  # too late: the answer is under way
        exchange.entry.status = problem.status
        exchange.entry.close("error")
    headers = _headers(exchange, dialect)
    if problem.retry_after_s and dialect != "gemini":
        headers["retry-after"] = f"{problem.retry_after_s:g}"
    if dialect == "anthropic":
        headers["x-should-retry"] = "true" if problem.status in {429, 500, 503, 529} else "false"
    status = problems.gemini_status(problem) if dialect == "gemini" else problem.status
    await exchange.answer(status, headers, _words(exchange, dialect, problem))


def _words(exchange: Exchange, dialect: str, problem: Problem) -> Body:
    if dialect == "anthropic":
        return problems.anthropic_words(problem, f"req_{exchange.id}")
    return problems.gemini_words(problem) if dialect == "gemini" else problems.openai_words(problem)


def _told(knobs: Knobs) -> Problem:
    """The error that was ordered."""
    status = int(knobs.number("status", 500))
    kind = KINDS.get(status, "server")
    after_s = knobs.number("retry-after", 2 if kind == "rate" else 0)
    return Problem(kind, f"The sandbox was told to answer {status}.", retry_after_s=after_s)


def _faulty(events: Iterable[Event], knobs: Knobs, dialect: str, exchange: Exchange) -> Iterator[Event]:
    """The stream with the disturbances that are made of events."""
    error_at = 0 if knobs.has("error-first") else int(knobs.number("error-later", -1))
    held: Event | None = None
    for number, event in enumerate(events):
        if held is not None:
            yield held
        if number == error_at:
            yield Event(_error_event(exchange, dialect))
            return
        held = disturbed(event, knobs, number=number)
    if held is not None and not knobs.has("no-done"):
        yield held


def _error_event(exchange: Exchange, dialect: str) -> bytes:
    problem = Problem("overloaded", "The sandbox was told to fail in the middle of a stream.")
    words = _words(exchange, dialect, problem)
    if dialect == "anthropic":
        return named("error", words)
    if exchange.path == "/v1/responses":
        return named("error", {"type": "error", "code": "server_error", "message": problem.message, "param": None})
    return data(words)


def _as_array(events: Iterable[Event]) -> Iterator[Event]:
    """Without ``alt=sse`` Google sends one JSON array, piece by piece."""
    before = b"["
    for event in events:
        yield Event(before + event.data.removeprefix(b"data: ").rstrip(), event.tokens)
        before = b",\r\n"
    yield Event(b"]")
