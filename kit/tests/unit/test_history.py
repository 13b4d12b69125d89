"""Checks of histories: planted violations are found, and what the promises permit is none."""

import pytest

from sagakit.testing.history import (
    Call,
    History,
    progress_violations,
    repeat_violations,
    stream_violations,
    version_violations,
)

STATUSES = {"open": {"reserved", "approved", "failed"}, "reserved": {"approved", "failed"}}


def follows(later: str, earlier: str) -> bool:
    return later in STATUSES.get(earlier, ())


def read(history: History, answer: str, client: str = "a") -> Call:
    call = history.begin(client, "order-1", "GET")
    history.ok(call, answer)
    return call


def during(history: History, answer: str, other: str) -> None:
    """Read `answer`, and `other` while that read is on its way."""
    call = history.begin("a", "order-1", "GET")
    read(history, other, "b")
    history.ok(call, answer)


def test_a_history_is_kept_by_resource_until_it_is_taken():
    history = History(lambda: 1.5)
    one, two = (history.begin("a", resource, "GET") for resource in ("r1", "r2"))
    history.unknown(two)

    assert (history.take("r1"), history.take("r1")) == ([one], [])
    assert list(history.resources) == ["r2"]
    assert str(two) == "[1.500, 1.500] a GET (unknown)"
    assert history.results == {"unknown": 1}


def test_attempts_with_one_key_and_one_answer_are_no_violation():
    history = History()
    history.unknown(history.begin("a", "r", "PUT 1", "k"))
    for key in ("k", "k", "other", None, None):
        history.ok(history.begin("a", "r", "PUT 1", key), {"count": 1})

    assert list(repeat_violations(history.take("r"))) == []


@pytest.mark.parametrize("request_", ["PUT 1", "PUT 2"])
def test_second_answer_under_a_key_is_found(request_: str):
    history = History()
    history.ok(history.begin("a", "r", "PUT 1", "k"), 1)
    history.ok(history.begin("a", "r", request_, "k"), 2 if request_ == "PUT 1" else 1)

    (found,) = repeat_violations(history.take("r"))

    assert "key k has two answers" in found


@pytest.mark.parametrize("statuses", [("open", "reserved", "approved"), ("open", "open", "failed", "failed")])
def test_status_that_makes_progress_is_no_violation(statuses):
    history = History()
    for each in statuses:
        read(history, each)

    assert list(progress_violations(history.take("order-1"), follows)) == []


@pytest.mark.parametrize("statuses", [("reserved", "open"), ("open", "approved", "reserved")])
def test_status_that_goes_back_is_found_whichever_client_saw_it(statuses):
    history = History()
    for number, each in enumerate(statuses):
        read(history, each, f"client-{number}")

    (found,) = list(progress_violations(history.take("order-1"), follows))

    assert f"{statuses[-1]} does not follow {statuses[-2]}" in found


def test_reads_that_overlap_may_see_either_status():
    history = History()
    during(history, "open", other="approved")

    assert list(progress_violations(history.take("order-1"), follows)) == []


def test_two_final_statuses_are_found_even_if_the_reads_overlap():
    history = History()
    during(history, "failed", other="approved")

    (found,) = progress_violations(history.take("order-1"), follows)

    assert "failed does not follow approved" in found


def test_status_that_goes_back_is_found_although_a_later_read_of_the_newer_overlaps():
    history = History()
    read(history, "reserved")
    during(history, "open", other="reserved")

    (found,) = progress_violations(history.take("order-1"), follows)

    assert "open does not follow reserved" in found


def test_versions_that_change_are_no_violation():
    history = History()
    for each in ("v1", "v1", "v2", "v2", "v3"):
        read(history, each)

    assert list(version_violations(history.take("order-1"))) == []


def test_version_that_was_replaced_before_is_found():
    history = History()
    for each in ("v1", "v2", "v1"):
        read(history, each)

    (found,) = version_violations(history.take("order-1"))

    assert "v1 was replaced" in found


def test_replaced_version_is_found_although_a_later_read_of_the_newer_overlaps():
    history = History()
    read(history, "v1")
    read(history, "v2")
    during(history, "v1", other="v2")

    (found,) = version_violations(history.take("order-1"))

    assert "v1 was replaced" in found


def test_version_is_replaced_by_a_read_that_overlaps_its_last_one():
    history = History()
    read(history, "v1")
    during(history, "v2", other="v1")
    read(history, "v1")

    (found,) = version_violations(history.take("order-1"))

    assert "v1 was replaced" in found


def test_read_that_began_before_the_newer_version_was_seen_may_still_see_the_older():
    history = History()
    read(history, "v1")
    during(history, "v1", other="v2")
    read(history, "v2")

    assert list(version_violations(history.take("order-1"))) == []


def test_stream_over_several_connections_is_no_violation():
    connections = [["a", "b"], [], ["c", "end"]]

    assert list(stream_violations(connections, {"a", "b", "c"}, "end")) == []


def test_stream_that_has_not_ended_may_lack_events():
    assert list(stream_violations([["a"]], {"a", "b"}, "end")) == []


@pytest.mark.parametrize(
    ("connections", "found"),
    [
        ([["a", "b"], ["b", "c", "end"]], "event b came 2 times"),
        ([["a", "b"], ["end"]], "event c never came"),
        ([["a", "b", "end", "c"]], "event c came after the end"),
        ([["a", "b", "c", "d", "end"]], "event d is not on record"),
    ],
)
def test_event_that_is_repeated_missing_late_or_unknown_is_found(connections, found):
    assert list(stream_violations(connections, {"a", "b", "c"}, "end")) == [found]
