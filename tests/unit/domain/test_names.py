"""Names that must be valid in Kubernetes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob import names
from corejob.limits import MAX_JOB_NAME
from corejob.names import label_value, template_name, trial_name

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9._-]{1,70}", fullmatch=True))
def test_a_label_is_what_kubernetes_takes_or_none(text: str) -> None:
    assert label_value(text) == (text if LABEL.fullmatch(text) else None)


def test_the_name_of_a_trial_is_always_the_same_and_fits_a_label() -> None:
    longest = trial_name("a" * MAX_JOB_NAME, 10**9)

    assert trial_name("job", 2) == trial_name("job", 2) == "job-2"
    assert label_value(longest) == longest


def test_names_of_templates_are_dns_names() -> None:
    assert template_name("my_package.Jobs.DailyReport") == "my-package.jobs.dailyreport"


def test_each_reason_of_a_template_belongs_to_a_condition() -> None:
    reasons = {reason for group in names.TEMPLATE_REASONS.values() for reason in group}

    assert reasons == set(names.TemplateReason)
    assert set(names.TEMPLATE_REASONS) == set(names.TemplateCondition)


@pytest.mark.parametrize("reason", list(names.Reason))
def test_reasons_are_words_in_camel_case(reason: names.Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)
