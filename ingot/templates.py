"""Loads the templates of files for other programs."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path, *, escape: bool = False) -> Environment:
    """The templates in `folder`; an undefined name in one is an error. Values for YAML go through `tojson`.

    With `escape`, those of HTML: values are escaped.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=escape,
    )
