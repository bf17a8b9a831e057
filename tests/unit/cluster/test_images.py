"""Images: the archive written by Python, the wheels in it, and their names."""

import hashlib
import io
import json
import tarfile

import pytest
from tests.cluster import image, image_archive, wheels
from tests.cluster.engines import Image
from tests.cluster.errors import ClusterError


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "pause"
    path.write_bytes(b"\x7fELF program")
    return path


def content(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    """Return the bytes of a file in an archive."""
    file = archive.extractfile(member)
    assert file
    return file.read()


def test_an_archive_holds_one_layer_with_the_program(program, tmp_path):
    target = tmp_path / "image.tar"
    image_archive.write_image(target, program=program, reference="localhost/pause:1")
    with tarfile.open(target) as archive:
        (row,) = json.loads(content(archive, "manifest.json"))
        config = json.loads(content(archive, row["Config"]))
        layer = content(archive, row["Layers"][0])
    assert row["RepoTags"] == ["localhost/pause:1"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        (entry,) = files.getmembers()
        assert (entry.name, entry.mode, entry.mtime) == ("pause", 0o755, 0)
        assert content(files, entry) == program.read_bytes()


def test_the_same_program_gives_the_same_archive(program, tmp_path):
    targets = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for target in targets:
        image_archive.write_image(target, program=program, reference="localhost/pause:1")
    assert targets[0].read_bytes() == targets[1].read_bytes()


def test_an_archive_says_its_name(program, tmp_path):
    target = tmp_path / "image.tar"
    image_archive.write_image(target, program=program, reference="localhost/pause:1")
    assert image_archive.reference(target) == "localhost/pause:1"


def test_a_file_that_is_not_an_archive_is_an_error(program, tmp_path):
    empty = tmp_path / "empty.tar"
    with tarfile.open(empty, "w"):
        pass
    for path in (program, empty, tmp_path / "missing"):
        with pytest.raises(ClusterError, match="is no docker archive"):
            image_archive.reference(path)


def test_an_interrupted_copy_of_a_wheel_is_not_used(monkeypatch, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a.whl").write_text("whole")

    def interrupted(_, to):
        to.write_text("who")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy2", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wheels._mirror(source, target)
    assert not list(target.glob("*.whl"))
    wheels._mirror(source, target)
    assert [path.read_text() for path in target.iterdir()] == ["whole"]


def test_wheels_of_an_interrupted_build_are_not_taken_for_those_of_earlier_sources(
    monkeypatch, tmp_path
):
    target = tmp_path / "own"
    states = iter(["one", "two", "one"])
    monkeypatch.setattr(wheels, "source_digest", lambda _: next(states))
    built = []

    def pip(*_, **__):
        built.append(1)
        (target / "core4.whl").write_text(f"{len(built)}")
        if len(built) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(wheels, "run", pip)
    wheels._build_own(tmp_path, target)
    with pytest.raises(KeyboardInterrupt):
        wheels._build_own(tmp_path, target)
    wheels._build_own(tmp_path, target)
    assert (target / "core4.whl").read_text() == "3"


def test_the_wheels_fit_this_machine():
    names = wheels.platforms()
    assert len(names) == len(set(names))
    assert any(name.startswith("manylinux_2_28_") for name in names)


@pytest.fixture
def engine(monkeypatch, tmp_path):
    class FakeEngine:
        def __init__(self):
            self.built, self.provided = [], []

        def build(self, context, dockerfile, built, arguments):
            del context, dockerfile
            self.built.append((built.reference, dict(arguments)))
            built.archive.write_text("archive")

        def provide(self, used):
            self.provided.append(used.reference)

    fake = FakeEngine()
    monkeypatch.setattr(image, "engine", lambda: fake)
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path / "cache"))
    return fake


@pytest.fixture
def context(tmp_path):
    place = tmp_path / "example"
    place.mkdir()
    (place / "Dockerfile").write_text("FROM scratch\n")
    (place / "job.py").write_text("1")
    return place


def test_an_unchanged_folder_is_built_once(engine, context):
    first = image.build_image(context, name="example")
    assert image.build_image(context, name="example") == first
    assert len(engine.built) == 1
    assert first.reference.startswith("localhost/example:")
    assert first.archive.read_text() == "archive"


def test_a_change_of_file_argument_or_base_gives_another_image(engine, context):
    references = {image.build_image(context, name="example").reference}
    base = Image("localhost/core4:1", context / "no")
    references.add(image.build_image(context, name="example", build_args={"A": "1"}).reference)
    references.add(image.build_image(context, name="example", uses=[base]).reference)
    (context / "job.py").write_text("2")
    references.add(image.build_image(context, name="example").reference)
    assert len(references) == len(engine.built) == 4
    assert engine.provided == ["localhost/core4:1"]


def test_a_failed_build_leaves_no_archive(engine, context, monkeypatch):
    def fail(*_):
        raise ClusterError("no")

    monkeypatch.setattr(engine, "build", fail)
    with pytest.raises(ClusterError):
        image.build_image(context, name="example")
    assert not list((context.parent / "cache" / "images").iterdir())


def test_old_archives_are_deleted(engine, context):
    for number in range(5):
        (context / "job.py").write_text(str(number))
        last = image.build_image(context, name="example")
    left = list(last.archive.parent.iterdir())
    assert len(left) == 3
    assert last.archive in left


def test_the_new_archive_is_kept_whatever_the_clock_says(engine, context, monkeypatch):
    monkeypatch.setattr(image, "_modified", lambda path: -path.stat().st_mtime_ns)
    for number in range(5):
        (context / "job.py").write_text(str(number))
        assert image.build_image(context, name="example").archive.exists()
