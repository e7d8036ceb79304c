"""What stands in the page of a report, read as a browser reads it."""

import json
from html.parser import HTMLParser
from typing import Any


class Parts(HTMLParser):
    """Collects the tags with their attributes, and the text of every script, style and title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data


def content_of(page: str) -> dict[str, Any]:
    """The data that a page shows."""
    return json.loads(Parts(page).texts["script"][0])
