"""The scenarios of the demo: one for each final status, over all items of the catalogue."""

from sagactl.cli.demo import SCENARIOS
from sagactl.cli.stock import CATALOGUE
from sagactl.cli.up import curl_examples


def test_scenarios_use_every_item_and_reach_every_final_status_but_canceled():
    assert [(scenario.items, scenario.final_status) for scenario in SCENARIOS] == [
        ({"blue": 3}, "approved"),
        ({"blue": 3, "red": 2}, "approved"),
        ({"yellow": 1}, "reserve-failed"),
        ({"gold": 1}, "payment-failed"),
    ]
    assert {"blue", "red", "yellow", "gold"} == {item.itemid for item in CATALOGUE}


def test_curl_examples_order_blue_and_red():
    lines = curl_examples("http://127.0.0.1:8080", "c")

    blue, red = (line for line in lines if "/add_item" in line)
    assert '"itemid":"blue","count":3' in blue
    assert '"itemid":"red","count":2' in red
    assert "/purchase/api/get_order_ticket" in lines[-1]
