"""Text is spelled right and reads as a native maintainer would write it."""

import re

from ingot.paths import ROOT
from tests.linters import check, tracked

# Generated, or written by others.
NOT_OURS = (
    ":!locks",
    ":!requirements",
    ":!containers/*/requirements-*.txt",
    ":!catalog/instance_types.json",
    ":!*.sum",
)
# Names and abbreviations, and misspellings that tests hand in on purpose.
SPELLED_SO = "awsome,debians,fpr,kernal,modul,opne,uper"
# Where phrases are checked: pathspecs of git.
COVERED = (":(glob)*.md", "docs", "catalog", "ingot", "plugins", ":!catalog/instance_types.json")
# Phrases that read as a translation, and what to write instead.
PHRASES = {
    r"(?<![Tt]here )\b(?:is|was) no (?!longer\b)[a-z]": "is not a",
    r"\b(?:is|are) no more\b": "no longer exists",
    r"\b(?:for|to) who [a-z]+s\b": "for the user",
    r"\b(?:what|those) there (?:is|are)\b": "a noun",
    r"\ba word (?:for|of|on) (?:it|each)\b": "a remark",
    r"\blaid over\b": "merged over",
    r"\bnobody has (?:published|recorded)\b|\bnobody's claim\b": "not recorded, or: no source says",
    r"\b(?:[Oo]ne|[Aa]|[Pp]er) (?:copy|file|image|line|lock|process|role|row|task|template|test) an? [a-z]": "per",
    r"\bthat many \w+ an? \w+ as\b": "one … per",
    r"\banew\b": "again",
    r"\blies? (?:in|beside|below|on)\b": "is in, is next to",
    r"\bgo(?:es)? on (?:where|with|when|until)\b": "continues",
    r"\b(?:can|cannot|could|to) be had\b": "is available",
    r"\b[Mm]end(?:s|ed|ing)?\b": "fix, correct",
    r"\bstands? twice\b": "duplicate",
    r"\bin (?:the )?place of\b|\b(?:take|takes|took) the place of\b": "instead of, replaces",
    r"\bwho asks more\b": "above this limit",
    r"\bof the very\b": "of the same",
    r"\bin whatever case\b": "ignoring case",
    r"\bsave by\b": "except",
}


def test_words_are_spelled_right() -> None:
    check("codespell", "--ignore-words-list", SPELLED_SO, *tracked(".", *NOT_OURS))


def test_no_phrase_reads_as_a_translation() -> None:
    files = tracked(*COVERED)
    assert files
    wrong = [
        f"{name}:{number}: {match[0]!r}; write: {instead}"
        for name in files
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        for phrase, instead in PHRASES.items()
        if (match := re.search(phrase, line))
    ]
    assert not wrong, "\n".join(wrong)
