"""The walks of the demo: one for each way an order can go, over what the catalogue has."""

from sagactl.cli.demo import SCENARIOS
from sagactl.cli.up import curl_examples
from sagactl.local.stock import CATALOGUE


def test_the_walks_show_every_end_an_order_comes_to_by_itself():
    assert [(walk.items, walk.final_status) for walk in SCENARIOS] == [
        ({"blue": 3}, "approved"),
        ({"blue": 3, "red": 2}, "approved"),
        ({"yellow": 1}, "reserve-failed"),
        ({"gold": 1}, "payment-failed"),
    ]


def test_the_walks_take_every_item_of_the_catalogue():
    assert {itemid for walk in SCENARIOS for itemid in walk.items} == {item.itemid for item in CATALOGUE}


def test_the_lines_to_try_end_in_an_order_of_blue_and_red():
    lines = curl_examples("http://127.0.0.1:8080", "c")

    blue, red = (line for line in lines if "/add_item" in line)
    assert '"itemid":"blue","count":3' in blue
    assert '"itemid":"red","count":2' in red
    assert "/purchase/api/get_order_ticket" in lines[-1]
