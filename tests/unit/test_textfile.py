"""A text file is read in any usual encoding, and what is none is one sentence."""

from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.textfile import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_text_is_read_with_its_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a").write_bytes("a é\r\nb\rc".encode(encoding))
    assert read_text(tmp_path / "a") == "a é\nb\nc"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\1\2\0\0\3")
    for path, said in ((tmp_path, "a folder"), (tmp_path / "no", "no such file"), (tmp_path / "binary", "not a text")):
        with pytest.raises(IngotError, match=said) as caught:
            read_text(path)
        assert caught.value.place == str(path)


def test_a_file_that_is_too_large_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 11)
    with pytest.raises(IngotError, match="it has more than"):
        read_text(tmp_path / "a", largest=10)
