"""Files are written whole or not at all."""

import pytest

from mlsysim.errors import InvalidValue
from mlsysim.files import writable_folder, write_whole


def test_content_replaces_content(tmp_path):
    path = tmp_path / "page.html"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "text is not bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_tried_before_the_work(tmp_path):
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match="report must be a folder that can be written into, got "):
        writable_folder(tmp_path / "file" / "inside", "report")
