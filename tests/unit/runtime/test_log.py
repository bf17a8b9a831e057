"""The job's log as `log` lines: nothing is lost, nothing breaks the protocol."""

import pytest

MAX_LINE = 1_048_576


def joined(result):
    """Return the log's messages, with cut ones joined again."""
    text = ""
    for message in result.messages:
        text += message.removesuffix(" [continued]")
        if not message.endswith(" [continued]"):
            yield text
            text = ""


def test_each_level_has_the_name_of_the_next_lower_standard_level(runner):
    body = """
    import logging
    for level in (10, 15, 20, 25, 30, 40, 50, 60):
        self.logger.log(level, "x")
    self.logger.log(5, "below DEBUG")
    """
    levels = [line["level"] for line in runner.run_body(body).of("log")[1:-1]]
    assert levels == [
        "DEBUG", "DEBUG", "INFO", "INFO", "WARNING", "ERROR", "CRITICAL", "CRITICAL",
    ]  # fmt: skip


def test_exception_information(runner):
    body = """
    try:
        1 / 0
    except ZeroDivisionError:
        self.logger.exception("caught")
    self.logger.error("no exception", exc_info=True)
    self.logger.info("where", stack_info=True)
    """
    result = runner.run_body(body)
    caught, without, where = result.of("log")[1:-1]
    assert caught["exception"]["info"] == "ZeroDivisionError('division by zero')"
    assert caught["exception"]["text"][0] == "Traceback (most recent call last):\n"
    assert caught["exception"]["text"][-1] == "ZeroDivisionError: division by zero\n"
    assert "exception" not in without
    assert where["message"].startswith("where\nStack (most recent call last):")


def test_records_that_do_not_fit(runner):
    body = """
    class Odd:
        def __str__(self): raise RuntimeError
        __repr__ = __str__
    self.logger.info("%d", "no number")
    self.logger.info("%s")
    self.logger.info("too %s", 1, 2)
    self.logger.info(Odd())
    self.logger.info("odd %s", Odd())
    self.logger.info({"any": ["object"]})
    """
    messages = runner.run_body(body).messages
    assert messages[0] == "'%d' % ('no number',) (TypeError)"
    assert messages[1] == "%s"
    assert messages[2] == "'too %s' % (1, 2) (TypeError)"
    assert messages[3] == "<Odd whose repr() failed> % () (RuntimeError)"
    assert "odd %s" in messages[4]
    assert messages[5] == "{'any': ['object']}"


def test_odd_text(runner):
    body = r"""
    self.logger.info("lone \udc80 and \ud83d, pair \U0001F600, nul \0, end \u2028 \x85 \r\n\x1b[1m")
    """
    assert runner.run_body(body).messages == [
        "lone \\udc80 and \\ud83d, pair \U0001f600, nul \0, end \u2028 \x85 \r\n\x1b[1m"
    ]


@pytest.mark.parametrize(
    "text", ["'x' * 3_000_000", "'ä\\n' * 900_000", "'\\0' * 400_000", "'\\udc80x' * 150_000"]
)
def test_long_messages_are_cut(runner, text):
    result = runner.run_body(f"self.logger.info({text})\nself.logger.info('next')")
    expected = eval(text).replace("\udc80", "\\udc80")
    assert list(joined(result)) == [expected, "next"]
    # All but the last have the maximum length, or nearly.
    rows = [len(row) for row in result.raw.split(b"\n") if b"[continued]" in row]
    assert min(rows) > MAX_LINE * 0.9


def test_messages_about_as_long_as_the_limit(runner):
    result = runner.run_body("for n in range(6): self.logger.info('x' * (1_048_320 + 30 * n))")
    assert [len(text) for text in joined(result)] == [1_048_320 + 30 * n for n in range(6)]
    assert len(result.messages[0]) == 1_048_320
    assert len(result.messages) > 6


def test_exception_belongs_to_the_last_piece(runner):
    body = """
    try:
        raise ValueError("y" * 2_000_000)
    except ValueError:
        self.logger.exception("x" * 2_000_000)
    """
    result = runner.run_body(body)
    *pieces, last = result.of("log")[1:-1]
    assert pieces
    assert all("exception" not in piece for piece in pieces)
    assert last["exception"]["info"].startswith("ValueError('yyy")
    assert last["exception"]["text"][-1].endswith("yyy\n")
    assert list(joined(result)) == ["x" * 2_000_000]


def test_threads_write_whole_lines(runner):
    body = """
    def work(name):
        for i in range(200):
            self.logger.info("%s %d %s", name, i, "x" * 5000)
            print(name, i)
    threads = [threading.Thread(target=work, args=(n,)) for n in "abcdefgh"]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    result = runner.run_body(body)
    for name in "abcdefgh":
        own = [text.split()[1] for text in result.messages if text.startswith(name)]
        assert own == [str(i) for i in range(200)]
    assert len(result.output()) == 1600


def test_a_burst_is_complete(runner):
    result = runner.run("core4.queue.helper.job.acceptance.BurstJob", args={"count": 3000})
    assert result.messages == [f"line {i} of 3000" for i in range(1, 3001)]


def test_configuration_of_logging_does_not_silence_the_job(runner):
    body = """
    self.logger.info("before")
    import logging.config
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    logging.basicConfig(level=0)
    self.logger.info("after")
    self.logger.getChild("part").info("of a part")
    logging.getLogger("a.library").error("elsewhere")
    """
    result = runner.run_body(body)
    assert result.messages == ["before", "after", "of a part"]
    assert result.output("stderr") == ["ERROR:a.library:elsewhere"]


def test_standard_output_may_not_block(runner, tmp_path):
    # A descriptor that returns EAGAIN: everything still arrives.
    import os

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    runner.write_job("for i in range(3000): self.logger.info('%d %s', i, 'x' * 100)")
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "core4", "run"],
        stdout=writer,
        cwd=tmp_path,
        env={**os.environ, "CORE4_JOB": '{"qualName": "some_jobs.Job", "id": "1"}'},
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    assert process.wait() == 0
    assert data.count(b"\n") == 3003
