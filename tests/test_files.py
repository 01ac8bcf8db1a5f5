from pathlib import Path

import pytest

from dr_env import DREnvError
from dr_env.files import atomic_path, is_unused, write_text


def test_writes_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "file.txt", "new")
    write_text(tmp_path / "deep" / "file.txt", "newer")
    assert (tmp_path / "deep" / "file.txt").read_text() == "newer"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file.txt") as draft:
        draft.write_text("half")
        raise RuntimeError
    assert (tmp_path / "file.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_is_unused_until_something_is_in_it(tmp_path: Path) -> None:
    assert is_unused(tmp_path / "new") and is_unused(tmp_path)
    write_text(tmp_path / "file.txt", "")
    assert not is_unused(tmp_path)
    with pytest.raises(DREnvError, match=r"file\.txt: is a file, expected a folder"):
        is_unused(tmp_path / "file.txt")


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DREnvError, match="cannot write here"):
        write_text(tmp_path / "file" / "inside.txt", "")
