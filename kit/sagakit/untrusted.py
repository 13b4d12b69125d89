"""Text and JSON from outside the process: parsed without surprises, and printed without effects.

Publishers choose bodies, ids and attributes of messages; callers choose ids and reasons.
"""

import json
from typing import Any


def parse_json(data: str | bytes) -> Any:
    """Return the value that JSON text stands for. Raises ValueError, and nothing else, if there is none.

    Accepts what Python's parser accepts: NaN and Infinity, lone surrogates, and of a repeated name the last
    value. Numbers with thousands of digits and values that are nested thousands deep are a ValueError.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def escape(text: str) -> str:
    r"""Return `text` as one line of printable characters: a newline becomes `\n`, ESC `\x1b`.

    So it can neither begin a line that looks like another, nor move the cursor, set colours or a title, nor
    change the direction of the text after it (control characters, escape sequences, bidirectional controls,
    line separators), and every output can encode what is not ASCII in it (lone surrogates).
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
