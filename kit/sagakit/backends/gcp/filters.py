"""Filters of Pub/Sub's subscriptions, from what their receivers ignore.

https://cloud.google.com/pubsub/docs/subscription-message-filter
"""

import re
from dataclasses import replace

from sagakit.ignored import Ignored

MAX_FILTER_BYTES = 256
_VALUE = re.compile(r'!= "([^"]*)"')


def filter_of(ignored: Ignored) -> str:
    """Return a filter that delivers everything else: messages without the attribute, too.

    If the values do not fit into Pub/Sub's limit, the last ones are delivered; "" if none fits.
    """
    key = f"attributes.{ignored.attribute}"
    always = f'NOT attributes:{ignored.attribute} OR NOT attributes.type = "{ignored.event_type}" OR '
    values = sorted(ignored.values)
    while values:
        others = " AND ".join(f'{key} != "{value}"' for value in values)
        text = always + (f"({others})" if len(values) > 1 else others)
        if len(text.encode()) <= MAX_FILTER_BYTES:
            return text
        values.pop()
    return ""


def delivers_the_rest(existing: str, ignored: Ignored | None) -> bool:
    """Whether a subscription with the filter `existing` delivers everything that is not ignored."""
    if not existing:
        return True
    withheld = frozenset(_VALUE.findall(existing))
    if ignored is None or not withheld or not withheld <= ignored.values:
        return False
    return existing == filter_of(replace(ignored, values=withheld))
