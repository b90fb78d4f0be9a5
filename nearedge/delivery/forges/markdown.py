"""Text of others in Markdown that a forge renders: it stays text, mentions nobody, closes nothing, commands nothing."""

import re
import unicodedata

SPECIAL = re.compile(r"([\\`*_{}\[\]<>()|~&])")
LIVE = re.compile(r"(?<![^\W_])(@|#|!|\$|%|~|&|GH-)(?=[\w\"])")
"""What begins a mention or a reference to an issue, a merge request, a label and so on."""
ADDRESS = re.compile(r"(?i)\b(https?|ftp)(://)|\b(www)(\.)")
APART = "\u200b"
"""A space of no width: it breaks what a forge would make a link, since escapes are gone by the time it looks."""


def flat(text: str) -> str:
    """One line without what controls a terminal or the direction of writing."""
    kept = (" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    return " ".join("".join(one for one in kept if unicodedata.category(one) not in ("Cf", "Cs", "Co", "Cn")).split())


def code(text: str) -> str:
    """`text` as a code span, also in a table's cell."""
    line = flat(text)
    if not line:
        return "(empty)"
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")


def plain(text: str) -> str:
    """`text` as text, also in a table's cell."""
    line = inert(flat(text))
    return SPECIAL.sub(r"\\\1", line)


def inert(line: str) -> str:
    """A line in which nothing is live: no mention, no reference, no address."""
    line = LIVE.sub(lambda found: found[1] + APART, line)
    return ADDRESS.sub(lambda found: f"{found[1] or found[3]}{APART}{found[2] or found[4]}", line)


def document(text: str) -> str:
    """A whole Markdown document of ours that holds names of others: inert, and no line is a command (`/merge`)."""
    lines = ["".join(one for one in line if one.isprintable() or one == "\t") for line in text.splitlines()]
    return "\n".join(re.sub(r"^(\s*)/", r"\1\\/", inert(line)) for line in lines).strip()
