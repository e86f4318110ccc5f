"""Texts of many scripts, and the runs of letters and digits that a page shows of each."""

import re
import unicodedata

from hypothesis import strategies as st

from conversations.search import terms

RUN = re.compile(rf"{terms.LETTER}{{2,}}")
DENSE_RUN = re.compile(f"[{terms.DENSE}]{{2,}}")
ALPHABETS = (
    "abcdefxyzABCXYZ",
    "0123456789",
    "éüñøßœÅŁıİ",
    "абвгдеёжзАВЕКМНОРСТ",
    "αβγδεονΑΒΕΗΜΝ",
    "日本語项目テストひらがなｶﾞ",
    "번역을부탁해",
    "การทดสอบที่ภาษา",
    "हिन्दीनमस्ते",
    "مرحباשלום٤١",
    "ﬁ㎏½①ｐａｙ𝐩𝐚𝐲",
    "\u0301\u0300\u0327\u0e49\u05b8\u094d",
    "\u200b\u200d\u00ad\u202e\ufeff\u115f\u3164\ufe0f\U000e0041",
    " \t\n\r.,;:!?'’“”\"-_/\\@#()[]{}<>=+*&%$€😀",
)
TEXTS = st.lists(
    st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=6)),
    max_size=12,
).map("".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def list_runs(text: str) -> set[str]:
    """The runs of two letters or digits that a reader sees, and stretches of scripts in pairs."""
    shown = unicodedata.normalize("NFKC", text)
    runs = {run for run in RUN.findall(shown) if not re.search(f"[{terms.FILLERS}]", run)}
    stretches = {
        dense[start:end]
        for run in runs
        for dense in DENSE_RUN.findall(run)
        for start in range(len(dense) - 1)
        for end in range(start + 2, len(dense) + 1)
    }
    return {each for each in runs | stretches if not starts_within(each)}


def starts_within(stretch: str) -> bool:
    """Whether it begins or ends amid what Unicode composes to one character (Hangul, a mark)."""
    return bool(re.search("^[\u1160-\u11ff\uff9e\uff9f]|[\u1100-\u115f]$", stretch))
