"""Values of the kernel's texts, and the start of a process, which they tell in whole seconds."""

import time

import pytest
from tests.bench.procfs import boot_second, mib, stat, stolen
from tests.bench.ready import boot_fraction
from tests.bench.usage import LocalProcess

STATUS = "Name:\tpython\nVmPeak:\t  4096 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"


def test_memory_now_and_at_most():
    assert (mib(STATUS, "VmRSS"), mib(STATUS, "VmHWM")) == (1.0, 2.0)


def test_the_second_of_the_boot():
    assert boot_second("cpu  1 2 3\nctxt 5\nbtime 1764400000\nprocesses 7\n") == 1764400000


def test_the_share_of_time_that_the_host_took_away():
    before = "cpu  100 0 50 800 0 0 0 50 7 7\ncpu0 1 2 3\n"
    after = "cpu  130 0 60 840 0 0 0 70 9 9\ncpu0 4 5 6\n"
    assert stolen(before, after) == pytest.approx(0.2)
    assert 0 <= stolen("cpu  0 0 0 0 0 0 0 0 0 0\n", stat()) <= 1  # since the boot


def test_what_is_cut_off_the_boot():
    assert boot_fraction(now=1000.5, up=99.75, boot_second=900) == pytest.approx(0.75)


def test_this_machine_s_boot_is_cut_to_a_whole_second():
    second = boot_second(stat())
    assert -0.1 <= boot_fraction(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), second) < 1.1


def test_the_usage_of_a_process_of_this_machine():
    usage = LocalProcess(1).usage()
    assert usage.cpu >= 0
    assert usage.mib > 0
