"""Pictures, sounds and files as they travel inside JSON: data URLs and names of formats."""

from gateway.errors import InvalidRequest

SOUNDS = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "m4a": "audio/m4a",
    "webm": "audio/webm",
    "pcm16": "audio/pcm",
}
FORMATS = {media_type: name for name, media_type in SOUNDS.items()} | {"audio/mpeg": "mp3", "audio/x-wav": "wav"}
PICTURES = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic", "heif": "image/heif"}


def picture_type(url: str) -> str:
    """Guess the media type of a picture from the end of its address."""
    path = url.partition("?")[0]
    return PICTURES.get(path.rpartition(".")[2].lower(), "image/jpeg")


def read_data_url(url: str, where: str) -> tuple[str, str] | None:
    """Take a data URL apart into media type and base64 data; None for any other address."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or not encoding.endswith("base64") or "/" not in media_type:
        msg = f"{where!r} must be a data URL with a media type and base64 data."
        raise InvalidRequest(msg, param=where)
    return media_type, data


def data_url(media_type: str, data: str) -> str:
    """Put a data URL together."""
    return f"data:{media_type};base64,{data}"


def media_type_of_format(name: str) -> str:
    """Name the media type of a sound's format."""
    return SOUNDS.get(name, f"audio/{name[:40]}")


def sound_format(media_type: str) -> str | None:
    """Name the format of a sound's media type; None when it is no sound."""
    if media_type in FORMATS:
        return FORMATS[media_type]
    kind, _, name = media_type.partition("/")
    return name if kind == "audio" and name else None
