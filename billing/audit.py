from types import SimpleNamespace


def run():
    return SimpleNamespace(findings=[])
