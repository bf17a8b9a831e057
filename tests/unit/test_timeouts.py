"""The time limits of unit tests."""

import pytest


def seconds(request):
    return request.node.get_closest_marker("timeout").args[0]


def test_a_unit_test_has_two_minutes(request):
    assert seconds(request) == 120


@pytest.mark.timeout(7)
def test_the_timeout_that_a_test_sets_stays(request):
    assert seconds(request) == 7


@pytest.mark.parametrize("store_url", ["postgresql"])
def test_one_that_may_have_to_install_something_has_longer(request, store_url):
    assert seconds(request) > 120
