"""Each version of an object is parsed once, as long as the value is kept."""

from typing import Any

from corejob_kube.parse_once import ParseOnce


def body(name: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


class Parser:
    """Counts its calls."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, parsed: Any) -> str:
        self.names.append(parsed["metadata"]["name"])
        return f"{self.names[-1]} at {parsed['metadata']['resourceVersion']}"


def test_one_version_is_parsed_once() -> None:
    parser = Parser()
    parse = ParseOnce(parser)
    first = body("a")

    assert [parse(first), parse(first)] == ["a at 1"] * 2
    assert parser.names == ["a"]


def test_a_new_version_is_parsed_and_replaces_the_old_one() -> None:
    parser = Parser()
    parse = ParseOnce(parser)

    assert [parse(body("a")), parse(body("a", "2"))] == ["a at 1", "a at 2"]
    assert parser.names == ["a", "a"]


def test_only_the_newest_values_are_kept() -> None:
    parser = Parser()
    parse = ParseOnce(parser, most=2)
    bodies = [body(name) for name in "abc"]
    for each in bodies:
        parse(each)

    assert [parse(each) for each in reversed(bodies)] == ["c at 1", "b at 1", "a at 1"]
    assert parser.names == ["a", "b", "c", "a"]
