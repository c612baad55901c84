"""``python -m tests.fuzz --requests 20000``: the long version of ``tests/accounts/test_fuzz.py``, on either engine.

Everything else of the environment (``DATABASE_URL``) is read as by the suite.
"""

import argparse
import os
import subprocess
import sys
import tempfile


def main() -> int:
    """Run it and pass on whether it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollgate-fuzz-") as scratch:
        environment = {
            "DATA_DIR": scratch,
            **os.environ,
            "TOLLGATE_MODE": "test",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "FUZZ_REQUESTS": str(asked.requests),
        }
        command = [sys.executable, "-m", "pytest", "-q", "tests/accounts/test_fuzz.py"]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
