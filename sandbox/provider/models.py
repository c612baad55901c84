"""What the sandbox sells. A model's name may carry instructions after a ``+``: see ``faults.py``."""

from dataclasses import dataclass

from sandbox.provider.problems import Problem

RELEASED_AT = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """One model: what it does and how much it reads."""

    name: str
    does: str
    context_tokens: int = 200_000
    output_tokens: int = 64_000
    reasons: bool = False


MODELS = {
    model.name: model
    for model in (
        Model("sandbox-standard", "chat"),
        Model("sandbox-mini", "chat", context_tokens=4_096, output_tokens=1_024),
        Model("sandbox-reasoning", "chat", reasons=True),
        Model("sandbox-embedding", "embed", context_tokens=8_192),
        Model("sandbox-rerank", "rerank", context_tokens=32_000),
        Model("sandbox-moderation", "moderate", context_tokens=32_000),
    )
}


def find(name: str) -> Model:
    """The model of that name, instructions left aside."""
    model = MODELS.get(name.removeprefix("models/").partition("+")[0])
    if model is None:
        message = f"The model `{name[:100]}` does not exist or you do not have access to it."
        raise Problem("not_found", message, param="model", code="model_not_found")
    return model
