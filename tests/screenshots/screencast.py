"""Records a page as an animated picture in real time."""

import base64
import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image
from playwright.sync_api import Page

FRAME_MILLISECONDS = 120
"""Interval of which only the last picture is kept."""
MAX_FRAME_MILLISECONDS = 2_500
"""Longest time that a picture is shown, so that a busy machine does not make the animation boring."""
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
"""Shows the mouse pointer, which a headless browser does not."""


class Screencast:
    """Context manager that records a page: a picture whenever it changes."""

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

    def wait(self, seconds: float) -> None:
        """Continue recording for this long."""
        self._page.wait_for_timeout(seconds * 1000)

    def save(self, file: Path) -> None:
        """Write the recording as an animated picture that repeats."""
        frames = {int(at * 1000 / FRAME_MILLISECONDS): data for at, data in sorted(self._pictures)}
        first, *others = (Image.open(io.BytesIO(data)).convert("RGB") for data in frames.values())
        first.save(
            file,
            save_all=True,
            append_images=others,
            duration=_milliseconds(list(frames)),
            loop=0,
            quality=80,
            method=4,
        )

    def _take(self, frame: dict[str, Any]) -> None:
        self._pictures.append((frame["metadata"]["timestamp"], base64.b64decode(frame["data"])))
        self._session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})


def _milliseconds(frames: list[int]) -> list[int]:
    """Return how long each frame is shown, in milliseconds: until the next one, within the limit."""
    durations = [
        (after - before) * FRAME_MILLISECONDS for before, after in zip(frames, frames[1:], strict=False)
    ]
    return [min(each, MAX_FRAME_MILLISECONDS) for each in [*durations, MAX_FRAME_MILLISECONDS]]
