"""A file or folder is there whole or not at all, and the old one until the new one is, whenever a kill comes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from factory import whole
from factory.errors import DataError
from factory.outputs import folder_for
from factory.whole import restored, whole_file, whole_folder, write_json

# Replaces the folder m; stops itself before the nth thing that it does to a disk: by kill -9, or by what a user's Ctrl-C raises.
CHILD = """
import os, signal, sys
from pathlib import Path
from factory.whole import whole_folder
stop, how, done = int(sys.argv[1]), sys.argv[2], 0
def hook(event, arguments):
    global done
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree", "open"):
        done += 1
        if done == stop:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
sys.addaudithook(hook)
with whole_folder(Path("m")) as folder:
    (folder / "weights").write_text("new")
    (folder / "config").write_text("new")
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(folder: str, text: str) -> None:
    with whole_folder(Path(folder)) as made:
        for name in ("weights", "config"):
            (made / name).write_text(text, encoding="utf-8")


def texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_stopped_at_any_step_a_folder_is_the_old_one_or_the_new_one(how: str) -> None:
    seen, missing = [], 0
    for step in range(1, 100):
        put("m", "old")
        child = subprocess.run([sys.executable, "-c", CHILD, str(step), how], capture_output=True, text=True, check=False)
        if child.returncode == 0:
            break
        assert child.returncode == (-signal.SIGKILL if how == "kill" else -signal.SIGINT), child.stderr
        missing += not Path("m").exists()
        assert texts(restored(Path("m"))) in (["old"] * 2, ["new"] * 2)
        seen.append(texts(Path("m"))[0])
    assert step > 12
    assert set(seen) == {"old", "new"}
    assert seen == sorted(seen, reverse=True)  # the old one up to some step, from then on the new one
    assert missing == (1 if how == "kill" else 0)  # between the two renames, which only a kill can tell
    put("m", "last")
    assert [path.name for path in Path().iterdir()] == ["m"]


def aside(folder: str) -> None:
    """As a kill between the two renames leaves it."""
    Path(folder).rename(whole._aside(Path(folder)))


def test_a_folder_that_was_set_aside_is_kept_until_another_one_is_whole() -> None:
    put("m", "old")
    aside("m")
    with pytest.raises(FileNotFoundError), whole_folder(Path("m")) as made:
        (made / "half" / "file").touch()
    assert texts(Path("m")) == ["old", "old"]
    assert [path.name for path in Path().iterdir()] == ["m"]


def test_a_command_sees_what_a_killed_one_had_set_aside() -> None:
    """Else it would take the place for free, and replace what is no export."""
    put("m", "old")
    aside("m")
    with pytest.raises(DataError, match="exists and is no export"):
        folder_for(Path("m"), "export.json", "export")


def test_what_is_there_is_never_replaced_by_what_was_set_aside() -> None:
    put("m", "old")
    aside("m")
    Path("m").mkdir()
    assert texts(restored(Path("m"))) == []
    assert restored(Path("none")) == Path("none")
    assert not Path("none").exists()


def test_a_reader_that_puts_a_folder_back_stops_no_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    put("m", "old")
    rename, readers = Path.rename, iter(range(2))

    def watched(path: Path, target: Path) -> Path:
        """A reader comes twice between the writer's renames."""
        found = rename(path, target)
        if target == whole._aside(Path("m")) and next(readers, None) is not None:
            assert texts(restored(Path("m"))) == ["old", "old"]
        return found

    monkeypatch.setattr(Path, "rename", watched)
    put("m", "new")
    assert next(readers, None) is None
    assert texts(Path("m")) == ["new", "new"]
    assert [path.name for path in Path().iterdir()] == ["m"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else() -> None:
    Path("x").write_text("old", encoding="utf-8")
    with pytest.raises(IsADirectoryError), whole_file(Path("x")) as temporary:
        temporary.write_text("half" * len(Path("/").read_bytes()))
    assert [path.name for path in Path().iterdir()] == ["x"]
    assert Path("x").read_text(encoding="utf-8") == "old"


def test_a_folder_does_not_replace_a_file() -> None:
    Path("x").write_text("old", encoding="utf-8")
    with pytest.raises(NotADirectoryError):
        put("x", "new")
    assert [path.name for path in Path().iterdir()] == ["x"]


def test_what_a_killed_run_left_is_swept_away_and_of_no_other_name() -> None:
    for name in (".m.abc.part", ".m.aside.part", ".other.abc.part", ".m.v2.abc.part", ".m.v2.aside.part"):
        Path(name).mkdir()
        Path(name, "half").write_text("h", encoding="utf-8")
    Path(".m.def.part").write_text("h", encoding="utf-8")
    put("m", "w")
    assert sorted(path.name for path in Path().iterdir()) == [".m.v2.abc.part", ".m.v2.aside.part", ".other.abc.part", "m"]
    assert texts(Path("m")) == ["w", "w"]


def test_json_documents_take_any_text() -> None:
    write_json(Path("x.json"), {"é": "\ud83d"})
    assert json.loads(Path("x.json").read_text(encoding="utf-8")) == {"é": "\ud83d"}
