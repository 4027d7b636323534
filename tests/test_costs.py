"""What AWS would cost, held against arithmetic by hand."""

import pytest
from typer.testing import CliRunner

from loopline.cli import app
from loopline.costs import month, read_prices, training_hour
from loopline.errors import ConfigError

PRICES = read_prices()


def test_an_hour_of_learning_is_the_machine_and_its_disk() -> None:
    on_demand, spot = training_hour(PRICES, "g5.xlarge")
    assert on_demand.usd == pytest.approx(1.006 + 100 * 0.08 / 730)
    assert spot.usd == pytest.approx(0.4 * 1.006 + 100 * 0.08 / 730)


def test_a_month_without_learning_costs_what_stands_still() -> None:
    lines = month(PRICES, machines=[], hours=0, stored_gb=0)
    assert sum(line.usd for line in lines) == pytest.approx(
        730 * 0.05 + 2 * 730 * (0.5 * 0.04048 + 0.004445) + 1 + 3 * 0.4
    )


def test_what_people_reach_costs_a_balancer_tasks_and_a_database() -> None:
    bare, more = (
        sum(line.usd for line in month(PRICES, machines=[], hours=0, stored_gb=0, reached=reached))
        for reached in ([], ["service", "server"])
    )
    task = 0.04048 + 2 * 0.004445
    assert more - bare == pytest.approx(730 * (2 * 0.0225 + 3 * task + 0.032) + 20 * 0.115)
    with pytest.raises(ConfigError, match="choose from: service, server, label_studio"):
        month(PRICES, machines=[], hours=0, stored_gb=0, reached=["cinema"])


def test_a_machine_without_a_price_is_named_with_those_that_have_one() -> None:
    with pytest.raises(ConfigError, match=r"no price of 'p9.huge'; choose from: g4dn.xlarge"):
        training_hour(PRICES, "p9.huge")


def test_the_command_shows_the_arithmetic_and_the_day_of_the_prices() -> None:
    told = CliRunner().invoke(app, ["cost", "--machine", "g5.xlarge", "--hours", "20"]).output
    assert "g5.xlarge, spot" in told and "1.006 x 0.4 + 100 GB x 0.08 / 730 h" in told
    assert "in all" in told and PRICES.dated.isoformat() in told
