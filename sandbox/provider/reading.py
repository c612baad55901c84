"""Reading a request strictly: a wrong type is the caller's 400 with the field's name, never our surprise."""

from dataclasses import dataclass
from typing import Any

from sandbox.provider.models import Model
from sandbox.provider.problems import Problem
from sandbox.provider.tokens import IMAGE_TOKENS, count, count_json, count_media

Body = dict[str, Any]


def field(body: Body, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """The field, if it is of the kind; null counts as left out."""
    value = body.get(name)
    if value is None:
        return default
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(one.__name__ for one in kinds)
        message = f"Invalid type for '{name}': expected {names}, but got {type(value).__name__} instead."
        raise Problem("invalid", message, param=name, code="invalid_type")
    return value


def needed(body: Body, name: str, kind: type | tuple[type, ...]) -> Any:
    """The field, or a 400 that names it."""
    value = field(body, name, kind)
    if value is None:
        message = f"Missing required parameter: '{name}'."
        raise Problem("invalid", message, param=name, code="missing_required_parameter")
    return value


def within(body: Body, name: str, least: float, most: float) -> None:
    """Refuse a number out of range."""
    value = field(body, name, (int, float))
    if value is not None and not least <= value <= most:
        message = f"Invalid value for '{name}': expected a number between {least:g} and {most:g}, got {value}."
        raise Problem("invalid", message, param=name, code="invalid_value")


def dictionaries(body: Body, name: str, *, required: bool = False) -> list[Body]:
    """A list of objects."""
    values = needed(body, name, list) if required else field(body, name, list, [])
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            message = f"Invalid type for '{name}[{index}]': expected an object."
            raise Problem("invalid", message, param=f"{name}[{index}]", code="invalid_type")
    return list(values)


def positive(body: Body, *names: str) -> int | None:
    """The first of these limits that is given."""
    for name in names:
        value = field(body, name, int)
        if value is not None:
            if value < 1:
                message = (
                    f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead."
                )
                raise Problem("invalid", message, param=name, code="integer_below_min_value")
            return int(value)
    return None


def stops(value: Any) -> list[str]:
    """Stop sequences, given as one or several."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [stop for stop in value if isinstance(stop, str)]


@dataclass(slots=True)
class Content:
    """What a message holds: its tokens by kind, and its words."""

    tokens: int = 0
    images: int = 0
    audio: int = 0
    words: str = ""

    def text(self, text: Any) -> None:
        if not isinstance(text, str):
            raise Problem("invalid", "Invalid type for text: expected a string.", param="content", code="invalid_type")
        self.tokens += count(text)
        self.words += text

    def image(self) -> None:
        self.tokens += IMAGE_TOKENS
        self.images += IMAGE_TOKENS

    def sound(self, base64: Any) -> None:
        heard = count_media(str(base64))
        self.tokens += heard
        self.audio += heard

    def file(self, base64: Any) -> None:
        self.tokens += count_media(str(base64))

    def other(self, value: Any) -> None:
        self.tokens += count_json(value)


def fits(model: Model, input_tokens: int) -> None:
    """Refuse what is longer than the model reads."""
    if input_tokens > model.context_tokens:
        message = (
            f"This model's maximum context length is {model.context_tokens} tokens. "
            f"However, your messages resulted in {input_tokens} tokens. Please reduce the length of the messages."
        )
        raise Problem("context", message, param="messages")


def must_do(model: Model, what: str) -> None:
    """Refuse to chat with an embedding model, and the like."""
    if model.does != what:
        raise Problem("invalid", f"The model `{model.name}` cannot be used at this endpoint.", param="model")
