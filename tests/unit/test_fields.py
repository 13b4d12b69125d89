"""Rules for ids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import ID_PATTERN, checked_id
from sagakit.errors import InvalidArgument

ALLOWED = st.text("aZ9._~-", min_size=1, max_size=4) | st.text("aZ9._~-", min_size=126, max_size=128)


@given(ALLOWED)
def test_every_text_of_the_allowed_characters_is_an_id_unless_paths_lose_it(value):
    assert bool(re.fullmatch(ID_PATTERN, value)) is (value not in {".", ".."})


@pytest.mark.parametrize("value", ["", ".", "..", "a" * 129, "a/b", "a\n", "%2E", "ä"])
def test_what_is_no_id_is_rejected_by_name(value):
    with pytest.raises(InvalidArgument, match="cartid must be 1 to 128"):
        checked_id("cartid", value)
