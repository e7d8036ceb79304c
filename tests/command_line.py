"""The command line, called in this process."""

from fedprime.cli.main import main


def exit_code(*words: object) -> int:
    """The exit code of a command: what `main` returns, or what it raises to leave at once."""
    try:
        return main([str(word) for word in words])
    except SystemExit as caught:
        return int(caught.code or 0)
