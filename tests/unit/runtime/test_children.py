"""Forked children of a job: their reports arrive, numbered by the parent."""


def test_multiprocessing(runner):
    body = """
    import multiprocessing
    context = multiprocessing.get_context("fork")
    def work(name):
        for i in range(50):
            self.logger.info("%s %d %s", name, i, "x" * 9000)
        print("printed by", name)
        self.progress(0.5, "from %s", name, force=True)
    children = [context.Process(target=work, args=(n,)) for n in "abcd"]
    for child in children: child.start()
    for child in children: child.join()
    self.logger.info("codes %s", [child.exitcode for child in children])
    """
    result = runner.run_body(body)
    assert result.code == 0
    lines = [text.split() for text in result.messages]
    for name in "abcd":
        own = [words for words in lines if words[0] == name]
        assert own == [[name, str(i), "x" * 9000] for i in range(50)]
    assert sorted(result.output()) == [f"printed by {name}" for name in "abcd"]
    assert sorted(line["message"] for line in result.of("progress")) == [
        f"from {name}" for name in "abcd"
    ]
    assert "codes [0, 0, 0, 0]" in result.messages


def test_long_and_odd_messages_of_a_child(runner):
    body = """
    if not (pid := os.fork()):
        self.logger.info("\\udc80" + "x" * 2_000_000)
        os._exit(0)
    os.waitpid(pid, 0)
    """
    result = runner.run_body(body)
    text = "".join(message.removesuffix(" [continued]") for message in result.messages)
    assert text == "\\udc80" + "x" * 2_000_000


def test_child_that_comes_back_from_the_job_ends_quietly(runner):
    body = """
    codes = []
    for how in ("return", "raise", "exit", "defer"):
        if not (pid := os.fork()):
            self.logger.info("child %s", how)
            if how == "return": return
            if how == "raise": raise ValueError("in the child")
            if how == "exit": sys.exit(7)
            self.defer("in the child")
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    self.logger.info("codes %s", codes)
    """
    result = runner.run_body(body)
    assert result.code == 0
    assert "codes [0, 1, 7, 1]" in result.messages
    assert "ValueError: in the child" in result.output("stderr")


def test_pool_can_be_terminated(runner):
    body = """
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(3) as pool:
        self.logger.info("%s", sorted(pool.map(abs, range(-5, 0))))
    self.logger.info("the job goes on")
    """
    result = runner.run_body(body)
    assert result.code == 0
    assert result.messages == ["[1, 2, 3, 4, 5]", "the job goes on"]


def test_child_has_the_ordinary_reaction_to_sigterm(runner):
    body = """
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    child.terminate()
    child.join()
    self.logger.info("child %d", child.exitcode)
    """
    result = runner.run_body(body)
    assert result.code == 0
    assert result.messages == ["child -15"]


def test_fork_while_other_threads_log(runner):
    body = """
    stop = threading.Event()
    def chat():
        while not stop.is_set(): self.logger.debug("chat")
    thread = threading.Thread(target=chat)
    thread.start()
    for i in range(20):
        if not (pid := os.fork()):
            self.logger.info("child %d", i)
            os._exit(0)
        os.waitpid(pid, 0)
    stop.set()
    """
    result = runner.run_body(body)
    children = [text for text in result.messages if text.startswith("child")]
    assert children == [f"child {i}" for i in range(20)]
