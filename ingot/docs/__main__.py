"""Writes every generated page; `make docs` runs it as `python -m ingot.docs`."""

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.docs.pages import pages

if __name__ == "__main__":
    for path, text in pages(read_catalog()).items():
        paths.write_text(path, text)
