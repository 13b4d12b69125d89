"""Results of the bench that are kept for each release."""

import json

import pytest

from bench.__main__ import parse, rates
from bench.facts import facts, was_busy
from bench.figures import as_run, at_most, store
from bench.releases import draw_releases, keep, releases, runs_in, series, version_order
from bench.usage import Usage, Use, usage_figures

FACTS = ("commit", "time", "machine", "load_average", "results")
"""Those of every kept run; a ladder has no targets."""


def a_run(version="0.1.0", backend="emulators", scenarios="full", rate=100.0):
    return {
        "version": version,
        "backend": backend,
        "scenarios": scenarios,
        "results": {"red, 64 clients": {"orders_per_s": rate}},
    }


def test_run_is_kept_in_the_file_of_its_version(tmp_path):
    run = as_run(a_run(), {"row": {"p50_ms": 3.0}}, [at_most("a target", 2, 3, "ms")])

    path = keep(run, tmp_path / "results")

    assert path.name == "0.1.0.json"
    assert runs_in(path) == [run]
    assert run["targets"] == [{"name": "a target", "value": 2, "limit": 3, "met": True}]


def test_later_run_replaces_only_the_earlier_of_its_kind(tmp_path):
    embedded, ladder = a_run(backend="embedded"), a_run(scenarios="ladder, red")
    for run in (a_run(rate=90.0), embedded, ladder, a_run(rate=120.0), a_run("0.2.0")):
        keep(run, tmp_path)

    assert releases(tmp_path) == [
        ("0.1.0", [embedded, ladder, a_run(rate=120.0)]),
        ("0.2.0", [a_run("0.2.0")]),
    ]


def test_versions_are_in_order():
    versions = ["0.10.0", "0.9.0", "0.10.0.dev0", "0.10.0rc1", "1.0.0"]

    assert sorted(versions, key=version_order) == ["0.9.0", "0.10.0.dev0", "0.10.0rc1", "0.10.0", "1.0.0"]


def test_series_leaves_out_releases_without_the_figure():
    without = {**a_run("0.2.0"), "results": {}}
    no_rate = {**a_run("0.3.0"), "results": {"ladder, red": {"sustainable_per_s": None}}}
    found = [("0.1.0", [a_run(rate=90.0)]), ("0.2.0", [without]), ("0.3.0", [no_rate])]

    assert series(found, "emulators", "red, 64 clients", "orders_per_s") == [("0.1.0", 90.0)]
    assert series(found, "embedded", "red, 64 clients", "orders_per_s") == []
    assert series(found, "emulators", "ladder, red", "sustainable_per_s") == []


@pytest.mark.parametrize("versions", [["0.1.0"], ["0.1.0", "0.2.0"]])
def test_plot_of_one_or_two_releases(tmp_path, versions):
    for version in versions:
        keep(a_run(version), tmp_path / "results")

    assert draw_releases(tmp_path / "build/plot.svg", tmp_path / "results")
    assert "<svg" in (tmp_path / "build/plot.svg").read_text()


def test_no_plot_without_a_release(tmp_path):
    assert not draw_releases(tmp_path / "plot.svg", tmp_path)
    assert not (tmp_path / "plot.svg").exists()


def test_kept_results_are_complete():
    for version, runs in releases():
        assert all(run["version"] == version for run in runs)
        assert [fact for run in runs for fact in FACTS if not run[fact]] == []
        assert all(run["targets"] or run["scenarios"].startswith("ladder") for run in runs)


def test_results_are_stored_as_json(tmp_path):
    store(tmp_path / "build.json", a_run())

    assert json.loads((tmp_path / "build.json").read_text()) == a_run()


def test_facts_name_machine_code_and_load():
    about = facts("embedded", "ladder")

    assert about["machine"]["cpus"] >= 1
    assert about["machine"]["model"]
    assert len(about["load_average"]) == 3
    assert about["time"].endswith("+00:00")


def test_machine_was_busy_by_its_load_for_each_cpu():
    machine = {"cpus": 4}

    assert was_busy({"machine": machine, "load_average": [2.1, 0.0, 0.0]})
    assert not was_busy({"machine": machine, "load_average": [1.9, 4.0, 4.0]})


def test_usage_is_by_order_and_tells_the_suite_from_its_backend():
    before = Usage({"stock": Use(1.0, 50.0), "gateway": Use(2.0, 60.0)}, 5.0)
    after = Usage({"stock": Use(1.4, 51.0), "gateway": Use(2.1, 70.0)}, 5.3)

    figures = usage_figures(before, after, 100, 20.0)

    assert figures["cpu_ms_of"] == {"stock": 4.0, "gateway": 1.0}
    assert (figures["cpu_ms"], figures["emulators_cpu_ms"], figures["orders_per_cpu_s"]) == (5.0, 3.0, 200.0)
    assert figures["mb_of"] == {"stock": 51, "gateway": 70}


def test_usage_without_orders_claims_no_rate():
    usage = Usage({"stock": Use(1.0, 50.0)}, 0.0)

    assert usage_figures(usage, usage, 0, 0.0)["orders_per_cpu_s"] == 0


def test_rates_are_climbed_from_the_lowest():
    assert rates("100 25 50") == (25, 50, 100)


@pytest.mark.parametrize(
    "arguments",
    [["--rates", ""], ["--rates", "0"], ["--rates", "inf"], ["--rates", "x"], ["--rung-seconds", "-1"]],
)
def test_impossible_rates_and_durations_are_rejected(arguments):
    with pytest.raises(SystemExit):
        parse(arguments)


def test_quick_run_is_not_recorded():
    with pytest.raises(SystemExit):
        parse(["--scenarios", "quick", "--record"])

    assert parse(["--record"]).record
