"""What an embedded installation keeps for itself: its data folder and the secrets it made on first start.

Promise: a second start finds the same secrets, so every key, session and sealed credential stays valid; the
files are readable by their owner alone; trouble with the folder is one sentence.
"""

import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured


def data_folder(path: Path) -> Path:
    """Make the folder if needed and return it, or say in one sentence why it cannot be used."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".writable-{secrets.token_hex(4)}"  # processes that start together do not share a probe
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        message = f"the data folder {path} cannot be written ({error.strerror}); set DATA_DIR to a folder that can"
        raise ImproperlyConfigured(message) from error
    return path


def kept_secret(folder: Path, name: str) -> str:
    """Return the secret of that name, making it on first use."""
    path = folder / name
    if not path.exists():
        value = Fernet.generate_key().decode() if name == "encryption_key" else secrets.token_urlsafe(48)
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(value)
        try:
            draft.rename(path) if not path.exists() else draft.unlink()
        except OSError as error:
            message = f"{path} cannot be written ({error.strerror})"
            raise ImproperlyConfigured(message) from error
    return path.read_text().strip()
