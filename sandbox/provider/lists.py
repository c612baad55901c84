"""Everything that is not a conversation: embeddings, moderations, rerank and the lists of models."""

import math
import struct
from base64 import b64encode
from hashlib import blake2b
from random import Random
from typing import Any

from sandbox.provider import reading
from sandbox.provider.models import MODELS, RELEASED_AT, Model, find
from sandbox.provider.problems import Problem
from sandbox.provider.reading import Body
from sandbox.provider.tokens import Tokens, count

DIMENSIONS = 256
MOST_INPUTS = 2_048
CATEGORIES = (
    *("harassment", "harassment/threatening", "sexual", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm/intent", "self-harm/instructions", "self-harm", "sexual/minors", "violence", "violence/graphic"),
)


def embeddings(body: Body, model: Model) -> tuple[Body, Tokens]:
    """Unit vectors, the same for the same text; base64 where the caller wants it."""
    reading.must_do(model, "embed")
    texts = _texts(body, "input")
    reading.within(body, "dimensions", 1, 4096)
    size = reading.field(body, "dimensions", int, DIMENSIONS)
    packed = reading.field(body, "encoding_format", str, "float") == "base64"
    used = Tokens(input=sum(_tokens(text) for text in texts))
    reading.fits(model, max(_tokens(text) for text in texts))
    data = [
        {"object": "embedding", "embedding": _packed(vector) if packed else vector, "index": index}
        for index, vector in enumerate(_vector(text, size) for text in texts)
    ]
    return {"object": "list", "data": data, "model": model.name, "usage": embedding_usage(used)}, used


def embedding_usage(tokens: Tokens) -> Body:
    """Input only."""
    return {"prompt_tokens": tokens.input, "total_tokens": tokens.input}


def _texts(body: Body, name: str) -> list[Any]:
    given = reading.needed(body, name, (str, list))
    texts = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    if not texts or len(texts) > MOST_INPUTS or not all(isinstance(text, str | list) for text in texts):
        message = (
            f"'$.{name}' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
        raise Problem("invalid", message, param=name)
    return list(texts)


def _tokens(text: Any) -> int:
    return count(text) if isinstance(text, str) else len(text)


def _vector(text: Any, size: int) -> list[float]:
    rng = Random(_seed(str(text)))  # noqa: S311 - made up on purpose
    raw = [rng.uniform(-1, 1) for _ in range(size)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [round(value / length, 8) for value in raw]


def _packed(vector: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _seed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def embed_content(body: Body, model: Model) -> tuple[Body, Tokens]:
    """Gemini's embedContent."""
    reading.must_do(model, "embed")
    parts = reading.dictionaries(reading.needed(body, "content", dict), "parts")
    text = "".join(str(part.get("text", "")) for part in parts)
    size = reading.field(body, "outputDimensionality", int, DIMENSIONS)
    used = Tokens(input=count(text))
    reading.fits(model, used.input)
    metadata = {"promptTokenCount": used.input, "totalTokenCount": used.input}
    return {"embedding": {"values": _vector(text, size)}, "usageMetadata": metadata}, used


def embed_contents(body: Body, model: Model) -> tuple[Body, Tokens]:
    """Gemini's batchEmbedContents: many at once, each as if asked alone."""
    requests = reading.dictionaries(body, "requests")
    if not requests or len(requests) > MOST_INPUTS:
        message = "requests must not be empty"
        raise Problem("invalid", message, param="requests")
    answers = [embed_content(request, model) for request in requests]
    used = Tokens(input=sum(tokens.input for _, tokens in answers))
    metadata = {"promptTokenCount": used.input, "totalTokenCount": used.input}
    return {"embeddings": [answer["embedding"] for answer, _ in answers], "usageMetadata": metadata}, used


def moderations(body: Body, model: Model, answer_id: str) -> Body:
    """Nothing is flagged but texts that say so: ``[flag:violence]``."""
    reading.must_do(model, "moderate")
    given = reading.needed(body, "input", (str, list))
    inputs = given if isinstance(given, list) else [given]
    multimodal = [part for part in inputs if isinstance(part, dict)]
    texts = [" ".join(str(part.get("text", "")) for part in multimodal)] if multimodal else [str(one) for one in inputs]
    return {"id": f"modr-{answer_id}", "model": model.name, "results": [_verdict(text) for text in texts]}


def _verdict(text: str) -> Body:
    flags = {name: f"[flag:{name}]" in text for name in CATEGORIES}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: 0.98 if flag else 0.00001 for name, flag in flags.items()},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }


def rerank(body: Body, model: Model, answer_id: str) -> tuple[Body, Tokens]:
    """Jina's and Cohere's common form: the more words a document shares with the question, the higher."""
    reading.must_do(model, "rerank")
    question = reading.needed(body, "query", str)
    documents = [_document(one) for one in reading.needed(body, "documents", list)]
    if not documents:
        raise Problem("invalid", "documents must not be empty", param="documents")
    scores = sorted(((_likeness(question, text), -index) for index, text in enumerate(documents)), reverse=True)
    most = reading.positive(body, "top_n") or len(documents)
    shown = reading.field(body, "return_documents", bool, default=False)
    results = [_ranked(score, -place, documents, shown=shown) for score, place in scores[:most]]
    used = Tokens(input=sum(count(text) + count(question) for text in documents))
    usage = {"total_tokens": used.input, "prompt_tokens": used.input}
    meta = {"billed_units": {"search_units": -(-len(documents) // 100)}}
    return {"id": answer_id, "model": model.name, "results": results, "usage": usage, "meta": meta}, used


def _ranked(score: float, index: int, documents: list[str], *, shown: bool) -> Body:
    result: Body = {"index": index, "relevance_score": score}
    return {**result, "document": {"text": documents[index]}} if shown else result


def _document(value: Any) -> str:
    return str(value.get("text", "")) if isinstance(value, dict) else str(value)


def _likeness(question: str, text: str) -> float:
    wanted, present = set(question.lower().split()), set(text.lower().split())
    return round(len(wanted & present) / (len(wanted) or 1) * 0.9 + 0.05, 6)


def openai_models() -> Body:
    """``GET /v1/models``."""
    return {"object": "list", "data": [openai_model(name) for name in MODELS]}


def openai_model(name: str) -> Body:
    """``GET /v1/models/{id}``."""
    return {"id": find(name).name, "object": "model", "created": RELEASED_AT, "owned_by": "sandbox"}


def anthropic_models() -> Body:
    """The same list as Anthropic writes it."""
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-05-28T20:26:40Z"}
        for name, model in MODELS.items()
        if model.does == "chat"
    ]
    return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}


def gemini_models() -> Body:
    """The same list as Google writes it."""
    return {"models": [gemini_model(name) for name, model in MODELS.items() if model.does in {"chat", "embed"}]}


def gemini_model(name: str) -> Body:
    """One model as Google writes it."""
    model = find(name)
    methods = ["generateContent", "countTokens"] if model.does == "chat" else ["embedContent"]
    return {
        "name": f"models/{model.name}",
        "version": "1",
        "displayName": model.name,
        "inputTokenLimit": model.context_tokens,
        "outputTokenLimit": model.output_tokens,
        "supportedGenerationMethods": methods,
    }
