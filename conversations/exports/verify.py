"""Checks an export: python3 verify.py [KEY …], in its folder or from anywhere. Needs Python 3.11 and ledger.py beside it, nothing of the gateway's.

KEY is the gateway's public key, from wherever you trust: without one, the export is held against the key that it names itself.
"""

import json
import sqlite3
import sys
from base64 import b64decode
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))
import ledger  # type: ignore[import-not-found]

MANIFEST, SUMS, SIGNATURE, CHAIN, MARK = (
    "manifest.json",
    "SHA256SUMS",
    "manifest.sig",
    "range.jsonl",
    "checkpoint.jsonl",
)
# The places of a call's columns, and of a message's, in what was sealed of it.
CALL = """id conversation owner key end_user kind status retry_of model served_model upstream params preamble head commitment reply response
    finish_reason upstream_id upstream_request_id prompt_tokens completion_tokens estimated cost error_code error address user_agent
    opened first_byte closed classic_id classic use_case attempts messages about""".split()
MESSAGE = "id conversation parent depth role text raw origin echo_of path_hash".split()
APART = {
    "conversation",
    "owner",
    "params",
    "response",
    "classic",
    "attempts",
    "messages",
    "about",
}  # compared by themselves, or not at all
FILE, NAMED = "$attachment", "$message"  # how a kept text names a file, and a reply's message
Broken = ledger.BrokenChain


def check(folder: Path, keys: list[str]) -> Iterator[str]:
    """What holds, a line each. Raises Broken at the first that does not."""
    yield files(folder)
    text = (folder / MANIFEST).read_bytes()
    manifest = json.loads(text)
    trusted = keys or [manifest["key_of_the_gateway"]]
    signature = json.loads((folder / SIGNATURE).read_bytes())
    if signature["key"] not in trusted or not ledger.verified(
        bytes.fromhex(signature["key"]),
        bytes.fromhex(signature["signature"]),
        ledger.message_of(text),
    ):
        raise Broken(f"{MANIFEST} is not signed by a key that is trusted here.")
    yield f"{MANIFEST} is signed by {signature['key']}" + (
        "."
        if keys
        else ", which it names itself: compare it with one that you have from elsewhere."
    )
    sums(folder, manifest)
    yield f"The {len(manifest['files'])} files of {MANIFEST} are those that are here."
    if manifest["ledger_head"]:
        yield from range_of(folder, manifest, trusted)


def files(folder: Path) -> str:
    count = 0
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        if name.startswith(("/", "..")) or "/../" in name:
            raise Broken(f"{SUMS} names {name}, which is outside.")
        try:
            with open(folder / name, "rb") as file:
                if file_digest(file, "sha256").hexdigest() != digest:
                    raise Broken(f"{name} is not the file that {SUMS} means: it was changed.")
        except FileNotFoundError:
            raise Broken(f"{name} is missing.") from None
        count += 1
    return f"{count} files have the sums of {SUMS}."


def sums(folder: Path, manifest: dict[str, Any]) -> None:
    for said in manifest["files"]:
        with open(folder / said["name"], "rb") as file:
            if (folder / said["name"]).stat().st_size != said["bytes"] or file_digest(
                file, "sha256"
            ).hexdigest() != said["sha256"]:
                raise Broken(f"{said['name']} is not the file that {MANIFEST} means.")


# The chain ------------------------------------------------------------------------------------


def range_of(folder: Path, manifest: dict[str, Any], keys: list[str]) -> Iterator[str]:
    head, kept = manifest["ledger_head"], Kept()
    marks: list[Any] = []
    if (folder / MARK).exists():
        with open(folder / MARK, "rb") as lines:
            marks = list(ledger.checkpoints(lines, keys, ledger.verified))
    with open(folder / CHAIN, "rb") as lines:
        chain = ledger.check(kept.noted(lines, head), marks)
    if not kept.head:
        raise Broken(
            f"{CHAIN} does not hold seal {head['number']}, at which the export is frozen, as {MANIFEST} has it."
        )
    said = (
        f"the checkpoint of {chain.passed.at} confirms it up to seal {chain.passed.number}"
        if chain.passed
        else "no checkpoint confirms it"
    )
    yield f"The chain holds from seal {kept.first} to seal {chain.number}; {said}."
    if not manifest["whole_requests_and_replies"]:
        yield "What a row says is held by the signature alone: this format has not the whole text that was sealed."
        return
    parts = [file["name"] for file in manifest["files"] if file["name"].startswith("calls-")]
    whole, partly = 0, 0
    for name in parts:
        with open(folder / name, "rb") as lines:
            for line in lines:
                found = kept.holds(json.loads(line, parse_float=Decimal))
                whole, partly = whole + found, partly + (not found)
    if whole + partly != kept.calls:
        raise Broken(
            f"{kept.calls} calls have their text in {CHAIN}, but {whole + partly} are in the export."
        )
    yield f"{whole:,} calls are, field for field, what was sealed."
    if partly:
        yield f"Of {partly:,} more, messages came with earlier calls that are not in this export: those messages are not held against a seal."
    yield f"The range has seals of {kept.sealed:,} calls; {whole + partly:,} of them are in this export."


class Kept:
    """What was sealed, by its seal, in a file of SQLite that goes with the program."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect("")
        self.rows.executescript(
            "CREATE TABLE call (seal INTEGER PRIMARY KEY, text TEXT); CREATE TABLE message (id TEXT PRIMARY KEY, text TEXT);"
        )
        self.calls = self.sealed = self.first = 0
        self.head = False

    def noted(self, lines: Iterable[bytes], head: dict[str, Any]) -> Iterator[bytes]:
        for raw in lines:
            try:
                line = json.loads(raw)
                number, kind, text = line["number"], line["kind"], line.get("text")
            except (ValueError, KeyError, TypeError):
                yield raw  # ledger.check says what is wrong
                continue
            self.first = self.first or number
            self.head = self.head or (number == head["number"] and line.get("link") == head["link"])
            self.sealed += kind == "snapshot"
            if text is not None:
                self.calls += 1
                self.rows.execute("INSERT INTO call VALUES (?, ?)", (number, text))
                digests = call_of(text)["messages"]
                for message in line["messages"]:
                    if sha256(message.encode()).hexdigest() not in digests:
                        raise Broken(f"A message of seal {number} is not what was sealed.")
                    self.rows.execute(
                        "INSERT OR REPLACE INTO message VALUES (?, ?)",
                        (json.loads(message)[0], message),
                    )
            yield raw

    def holds(self, line: dict[str, Any]) -> bool:
        """False: as far as it can be held. Raises Broken where it says something else."""
        found = self.rows.execute(
            "SELECT text FROM call WHERE seal = ?", (line["seal"],)
        ).fetchone()
        if found is None:
            raise Broken(f"The call {line['id']} has no text in {CHAIN}.")
        call = call_of(found[0])
        for name, value in call.items():
            if name not in APART and plain(name, value) != plain(name, line[name]):
                raise Broken(
                    f"The call {line['id']} (seal {line['seal']}) says another {name} than what was sealed."
                )
        request, response = (
            json.loads(call["params"], parse_float=Decimal),
            json.loads(call["response"], parse_float=Decimal) if call["response"] else None,
        )
        whole = True
        if call["kind"] == "chat" and (call["head"] or call["preamble"]):
            path = [*self.path(call["preamble"]), *self.path(call["head"])]
            whole = None not in path and (not path or len(path) == len(line["request"]["messages"]))
            request["messages"] = path if whole else line["request"]["messages"]
        for choice in (response or {}).get("choices") or [] if call["conversation"] else []:
            if (
                isinstance(choice, dict)
                and isinstance(choice.get("message"), dict)
                and NAMED in choice["message"]
            ):
                message = self.message(choice["message"].pop(NAMED))
                if message is None:
                    raise Broken(f"The reply of the call {line['id']} is not in {CHAIN}.")
                choice["message"] = message | choice["message"]
        if not (same(request, line["request"]) and same(response, line["response"])):
            raise Broken(
                f"The call {line['id']} (seal {line['seal']}) says another request or reply than what was sealed."
            )
        return whole

    def path(self, head: str | None) -> list[dict[str, Any] | None]:
        """From the root on; None for a message that is not here, and for all before it."""
        path: list[dict[str, Any] | None] = []
        while head:
            path.insert(0, self.message(head))
            row = self.row(head)
            head = row["parent"] if row else None
            if row is None:
                break
        return path

    def row(self, id: str) -> dict[str, Any] | None:
        found = self.rows.execute("SELECT text FROM message WHERE id = ?", (id,)).fetchone()
        return dict(zip(MESSAGE, json.loads(found[0]), strict=True)) if found else None

    def message(self, id: str) -> dict[str, Any] | None:
        row = self.row(id)
        if row is None:
            return None
        text = row["text"]
        if row["echo_of"]:
            repeated = self.row(row["echo_of"])
            if repeated is None:
                return None
            text = (repeated["text"] or "").strip()
        said = ({"role": row["role"]} if row["role"] else {}) | (
            {"content": text} if text is not None else {}
        )
        return said | (json.loads(row["raw"], parse_float=Decimal) if row["raw"] else {})


def call_of(text: str) -> dict[str, Any]:
    return dict(zip(CALL, json.loads(text, parse_float=Decimal), strict=False))


def plain(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if name in ("opened", "first_byte", "closed"):
        return datetime.fromisoformat(value).replace(tzinfo=None)
    return Decimal(value) if name == "cost" else value


def same(kept: Any, shown: Any) -> bool:
    """Whether what was kept is what is shown, a file where the kept one has its sha256."""
    if isinstance(kept, list):
        return isinstance(shown, list) and len(kept) == len(shown) and all(map(same, kept, shown))
    if not isinstance(kept, dict):
        return kept == shown and isinstance(kept, bool) == isinstance(shown, bool)
    inner = kept.get(FILE)
    if isinstance(inner, list):
        digest, prefix = inner
        if not isinstance(shown, str) or not shown.startswith(prefix):
            return False
        rest = shown[len(prefix) :]
        return (
            rest == f"[file with sha256 {digest}]" or sha256(b64decode(rest)).hexdigest() == digest
        )
    kept = inner if isinstance(inner, dict) else kept
    return (
        isinstance(shown, dict)
        and kept.keys() == shown.keys()
        and all(same(value, shown[name]) for name, value in kept.items())
    )


if __name__ == "__main__":
    try:
        for said in check(Path(__file__).resolve().parent, sys.argv[1:]):
            print(said)  # noqa: T201
    except (Broken, OSError, ValueError, KeyError, TypeError) as problem:
        why = (
            problem
            if isinstance(problem, Broken | OSError)
            else f"A file of it is not what it should be: {problem!r}"
        )
        sys.exit(f"This export does not hold. {why}")
