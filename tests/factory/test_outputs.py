"""Where a command writes: what can never be written is said before the work, and a replaced folder is never lost."""

import os
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.outputs import file_for, folder_for
from factory.whole import whole_folder


def _earlier(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "made.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["there", "there/../there", "link", "./there/"])
def test_a_folder_is_replaced_whatever_way_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    there = _earlier(tmp_path / "there")
    (tmp_path / "link").symlink_to(there)
    with whole_folder(folder_for(Path(name), "made.json", "making")) as folder:
        (folder / "new").touch()
    assert [path.name for path in there.iterdir()] == ["new"]
    assert (tmp_path / "link").is_symlink()


def test_another_folder_a_file_and_what_lies_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/a.tex").touch()
    refused = {"thesis": "exists and is no making: name another folder", "thesis/a.tex": "exists and is no making"}
    for name, says in (refused | dict.fromkeys(("thesis/a.tex/b", "thesis/a.tex/b/c"), "cannot be written: .*a.tex is no folder")).items():
        with pytest.raises(DataError, match=says):
            folder_for(tmp_path / name, "made.json", "making")
    (tmp_path / "empty").mkdir()
    assert folder_for(tmp_path / "empty", "made.json", "making") == tmp_path / "empty"
    assert folder_for(tmp_path / "new/deep", "made.json", "making") == tmp_path / "new/deep"


def test_a_file_is_no_folder_no_device_and_lies_in_no_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert file_for(tmp_path / "plain") == tmp_path / "plain"
    assert file_for(tmp_path / "new/deep.json") == tmp_path / "new/deep.json"
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("plain/x", "plain is no folder"), ("", "is a folder: name a file"), ("pipe", "is no plain file: name a file")):
        with pytest.raises(DataError, match=f"--json .*{says}"):
            file_for(tmp_path / name, "--json")
    with pytest.raises(DataError, match="--json /dev/null is no plain file"):  # a rename would replace it
        file_for(Path("/dev/null"), "--json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written: this user may write nothing in"):
        file_for(tmp_path / "new")
