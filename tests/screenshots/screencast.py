"""A page as it moves: what the browser shows, as an animation that keeps its time."""

import base64
import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image
from playwright.sync_api import Page

BEAT_MILLISECONDS = 120
"""Of the pictures that were taken in a beat the last one is shown: what it comes to, not the way there."""
LONGEST_MILLISECONDS = 2_500
"""Nobody watches a picture for longer, however long a busy machine took."""
_POINTER = """() => {
  const dot = document.createElement("div");
  Object.assign(dot.style, {
    position: "fixed", zIndex: 9999, width: "22px", height: "22px", borderRadius: "50%",
    background: "rgb(220 60 60 / 45%)", border: "2px solid rgb(220 60 60)", pointerEvents: "none",
    transform: "translate(-50%, -50%)", left: "-50px", top: "-50px", boxSizing: "border-box",
  });
  dot.setAttribute("aria-hidden", "true");
  document.body.append(dot);
  document.addEventListener("mousemove", (event) => {
    dot.style.left = `${event.clientX}px`;
    dot.style.top = `${event.clientY}px`;
  });
}"""
"""A headless browser shows no pointer."""


class Screencast:
    """Pictures of a page, taken whenever it changes, while it is open."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._pictures: list[tuple[float, bytes]] = []
        self._session.on("Page.screencastFrame", self._take)

    def __enter__(self) -> Self:
        self._page.evaluate(_POINTER)
        self._session.send("Page.startScreencast", {"format": "png", "everyNthFrame": 2})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.send("Page.stopScreencast")

    def roll(self, seconds: float) -> None:
        """Go on for so long, without doing anything."""
        self._page.wait_for_timeout(seconds * 1000)

    def save(self, file: Path) -> None:
        """As an animated picture that is shown over and over."""
        beats = {int(at * 1000 / BEAT_MILLISECONDS): data for at, data in sorted(self._pictures)}
        first, *others = (Image.open(io.BytesIO(data)).convert("RGB") for data in beats.values())
        first.save(
            file,
            save_all=True,
            append_images=others,
            duration=_milliseconds(list(beats)),
            loop=0,
            quality=80,
            method=4,
        )

    def _take(self, frame: dict[str, Any]) -> None:
        self._pictures.append((frame["metadata"]["timestamp"], base64.b64decode(frame["data"])))
        self._session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})


def _milliseconds(beats: list[int]) -> list[int]:
    """How long the picture of each beat is shown: until the next."""
    pauses = [(after - before) * BEAT_MILLISECONDS for before, after in zip(beats, beats[1:], strict=False)]
    return [min(each, LONGEST_MILLISECONDS) for each in [*pauses, LONGEST_MILLISECONDS]]
