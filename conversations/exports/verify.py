"""Checks an export: python3 verify.py [--folder FOLDER] [KEY …], by itself its own folder.

It needs Python 3.11, and ledger.py, listing.py, base64_text.py and the folder speech beside it,
nothing of the gateway's. KEY is the gateway's public key, from a source that you trust: without
one, the export is checked against the key that it names itself. Who can change an export can change
this program in it too: one from a source that you trust checks any export, by --folder.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True  # this folder stays as it is
sys.path.append(str(Path(__file__).resolve().parent))
import base64_text  # type: ignore[import-not-found]  # noqa: E402
import ledger  # type: ignore[import-not-found]  # noqa: E402
import listing  # type: ignore[import-not-found]  # noqa: E402
from listing import COPIES, HOLDERS, MANIFEST, SIGNATURE, SUMS  # noqa: E402

CHAIN, MARK = "range.jsonl", "checkpoint.jsonl"
# The places of a call's columns, and of a message's, in what was sealed of it.
CALL = """id conversation owner key end_user kind status retry_of model served_model upstream params
    preamble head commitment reply response finish_reason upstream_id upstream_request_id
    prompt_tokens completion_tokens estimated cost error_code error address user_agent opened
    first_byte closed classic_id classic use_case attempts messages about cost_source
    covers""".split()
MESSAGE = "id conversation parent depth role text raw origin echo_of path_hash".split()
# Columns that are compared by themselves.
APART = set("conversation owner params response classic attempts messages".split())
FILE, NAMED = "$attachment", "$message"  # how a kept text names a file, and a reply's message
Broken = ledger.BrokenChain


def check(folder: Path, keys: list[str]) -> Iterator[str]:
    """Yield what holds, a line each. Raises Broken, listing.Altered at the first that does not."""
    digests = read_sums(folder)
    yield f"{len(digests)} files have the sums of {SUMS}."
    if gone := {MANIFEST, SIGNATURE} - digests.keys():
        raise Broken(f"{min(gone)} is missing.")
    text = (folder / MANIFEST).read_bytes()
    manifest = json.loads(text)
    trusted = keys or [manifest["key_of_the_gateway"]]
    signature = json.loads((folder / SIGNATURE).read_bytes())
    key, signed = bytes.fromhex(signature["key"]), bytes.fromhex(signature["signature"])
    is_trusted = signature["key"] in trusted
    if not is_trusted or not ledger.is_signature_valid(
        key, signed, ledger.encode_manifest_message(text)
    ):
        raise Broken(f"{MANIFEST} is not signed by a key that is trusted here.")
    where = (
        "" if keys else ", which it names itself: compare it with one that you have from elsewhere"
    )
    yield f"{MANIFEST} is signed by {signature['key']}{where}."
    yield check_list(folder, manifest, digests)
    if manifest["ledger_head"]:
        yield from check_range(folder, manifest, trusted)
    elif manifest["rows"]:
        raise Broken(f"{MANIFEST} names no seal at which its rows were frozen.")


def read_sums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file here but SUMS, by name, which are as SUMS has them."""
    digests: dict[str, str] = {}
    for line in (folder / SUMS).read_text().splitlines():
        digest, *rest = line.split("  ", 1)
        name = listing.check_name("".join(rest), SUMS)
        if name in digests:
            raise Broken(f"{SUMS} names {name} twice.")
        digests[name] = digest
    here = [name for name in listing.find_files(folder) if name != SUMS and name[-1] != "/"]
    if more := set(here) - digests.keys():
        raise Broken(f"{min(more)} is here, but not in {SUMS}: it was put in.")
    for name, digest in digests.items():
        if listing.read_digest(folder, name) != digest:
            raise Broken(f"{name} is not the file that {SUMS} means: it was changed.")
    return digests


def check_list(folder: Path, manifest: dict[str, Any], digests: dict[str, str]) -> str:
    """Hold all that is here against the list that was signed."""
    apart = {name: listing.Listed(digests.get(name, ""), None) for name in HOLDERS}
    listed = listing.check_folder(folder, manifest, apart)
    for name, file in listed.items():
        if name not in HOLDERS:
            listing.check_digest(name, file, digests[name])
    copies = {name: file.sha256 for name, file in listed.items() if name.startswith(f"{COPIES}/")}
    if "attachments" in manifest:
        named = listing.read_copies(folder, listed)
        if copies != {name: file.sha256 for name, file in named.items()}:
            raise Broken(f"The files in {COPIES} are not those of the list.")
    held = f"{len(listed) - len(HOLDERS)} files are here, those of {MANIFEST} and no other"
    if manifest["version"] == 1:
        held += ". It is of form 1, an older gateway's"
        if copies:
            held += f": the {len(copies)} files in {COPIES} are held against its CSV alone"
    return f"{held}."


# The chain ------------------------------------------------------------------------------------


def check_range(folder: Path, manifest: dict[str, Any], keys: list[str]) -> Iterator[str]:
    head, sealed = manifest["ledger_head"], SealedTexts()
    marks: list[Any] = []
    if (folder / MARK).exists():
        # Of a former key it may be, which is named. Whether that is trusted is another question.
        named = [manifest["checkpoint"]["key"]] if manifest.get("checkpoint") else []
        with open(folder / MARK, "rb") as lines:
            signed = ledger.read_checkpoints(lines, [*keys, *named], ledger.is_signature_valid)
            marks = list(signed)
    with open(folder / CHAIN, "rb") as lines:
        chain = ledger.check_range(sealed.keep(lines, head), marks)
    if not sealed.has_head:
        raise Broken(
            f"{CHAIN} does not hold seal {head['number']}, at which the export is frozen,"
            f" as {MANIFEST} has it."
        )
    confirmed = describe_mark(chain.passed, keys)
    yield f"The chain holds from seal {sealed.first} to seal {chain.number}; {confirmed}."
    if manifest["whole_requests_and_replies"]:
        yield from check_calls(folder, manifest, sealed)
    else:
        yield (
            "What a row says is held by the signature alone: this format has not the whole text"
            " that was sealed."
        )


def describe_mark(mark: Any, keys: list[str]) -> str:
    """Say what confirms the chain: a checkpoint that a trusted key signed, and no other."""
    if mark is None:
        return "no checkpoint confirms it"
    if mark.key in keys:
        return f"the checkpoint of {mark.at} confirms it up to seal {mark.number}"
    return (
        "no checkpoint of a key that is trusted here confirms it. That of"
        f" {mark.at} (seal {mark.number}) is signed by {mark.key}: give that key, too, if it was"
        " handed out to you"
    )


def check_calls(folder: Path, manifest: dict[str, Any], sealed: "SealedTexts") -> Iterator[str]:
    parts = [file["name"] for file in manifest["files"] if "rows" in file]
    complete, partial = 0, 0
    for name in parts:
        with open(folder / name, "rb") as lines:
            for line in lines:
                if sealed.confirms(json.loads(line, parse_float=Decimal)):
                    complete += 1
                else:
                    partial += 1
    if complete + partial != sealed.texts:
        raise Broken(
            f"{sealed.texts} calls have their text in {CHAIN},"
            f" but {complete + partial} are in the export."
        )
    if complete + partial != manifest["rows"]:
        raise Broken(f"{MANIFEST} has {manifest['rows']} rows, but {complete + partial} are here.")
    yield f"{complete:,} calls are, field for field, what was sealed."
    if partial:
        yield (
            f"Of {partial:,} more, messages came with earlier calls that are not in this export:"
            " those messages are not held against a seal."
        )
    yield (
        f"The range has seals of {sealed.calls:,} calls;"
        f" {complete + partial:,} of them are in this export."
    )


class SealedTexts:
    """The texts that were sealed, by their seals, in a temporary database of SQLite."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect("")
        self.rows.executescript(
            "CREATE TABLE call (seal INTEGER PRIMARY KEY, text TEXT);"
            " CREATE TABLE message (id TEXT PRIMARY KEY, text TEXT);"
        )
        self.calls = 0  # that have a seal in the range
        self.texts = 0  # of calls
        self.first = 0  # seal
        self.has_head = False

    def keep(self, lines: Iterable[bytes], head: dict[str, Any]) -> Iterator[bytes]:
        """Keep the texts of the chain's lines, and pass the lines on."""
        for raw in lines:
            try:
                line = json.loads(raw)
                number, kind = line["number"], line["kind"]
                text = line.get("text")
            except (ValueError, KeyError, TypeError):
                yield raw  # ledger.check_range says what is wrong
                continue
            self.first = self.first or number
            is_head = number == head["number"] and line.get("link") == head["link"]
            self.has_head = self.has_head or is_head
            self.calls += kind == "snapshot"
            if text is not None:
                self.keep_call(number, text, line["messages"])
            yield raw

    def keep_call(self, number: int, text: str, messages: list[str]) -> None:
        self.texts += 1
        self.rows.execute("INSERT INTO call VALUES (?, ?)", (number, text))
        digests = call_of(text)["messages"]
        for message in messages:
            if sha256(message.encode()).hexdigest() not in digests:
                raise Broken(f"A message of seal {number} is not what was sealed.")
            row = (json.loads(message)[0], message)
            self.rows.execute("INSERT OR REPLACE INTO message VALUES (?, ?)", row)

    def confirms(self, line: dict[str, Any]) -> bool:
        """Whether the whole line is what was sealed; False: as far as it can be checked.

        Raises Broken where it says something else.
        """
        row = self.rows.execute("SELECT text FROM call WHERE seal = ?", (line["seal"],)).fetchone()
        if row is None:
            raise Broken(f"The call {line['id']} has no text in {CHAIN}.")
        call, what = call_of(row[0]), f"The call {line['id']} (seal {line['seal']})"
        for name, value in call.items():
            if name not in APART and plain(name, value) != plain(name, line[name]):
                raise Broken(f"{what} says another {name} than what was sealed.")
        if sha256(row[0].encode()).hexdigest() != line["digest"]:
            raise Broken(f"{what} says another digest than what was sealed.")
        check_apart(call, line, what)
        request, is_whole = self.request_of(call, line)
        response = self.response_of(call, line)
        if not (same(request, line["request"]) and same(response, line["response"])):
            raise Broken(f"{what} says another request or reply than what was sealed.")
        return is_whole

    def request_of(self, call: dict[str, Any], line: dict[str, Any]) -> tuple[Any, bool]:
        """The request that was sealed, and whether all of its messages are here."""
        request = json.loads(call["params"], parse_float=Decimal)
        if call["kind"] != "chat" or not (call["head"] or call["preamble"]):
            return request, True
        preamble, turns = self.path(call["preamble"]), self.path(call["head"])
        is_whole = None not in preamble and None not in turns
        if is_whole:
            return join_request(request, preamble, turns), True
        # What came with calls that are not here stands as the line has it.
        shown = line["request"]
        if None not in preamble:
            request = join_request(request, preamble, [])
        elif "tools" in shown:
            request.setdefault("tools", shown["tools"])
        return request | {"messages": shown["messages"]}, False

    def response_of(self, call: dict[str, Any], line: dict[str, Any]) -> Any:
        """The response that was sealed, with its messages. Raises Broken."""
        if not call["response"]:
            return None
        response = json.loads(call["response"], parse_float=Decimal)
        if not call["conversation"]:
            return response
        for choice in (response or {}).get("choices") or []:
            kept = choice.get("message") if isinstance(choice, dict) else None
            if not isinstance(kept, dict) or NAMED not in kept:
                continue
            message = self.message(kept.pop(NAMED))
            if message is None:
                raise Broken(f"The reply of the call {line['id']} is not in {CHAIN}.")
            choice["message"] = message | kept
        return response

    def path(self, head: str | None) -> list[dict[str, Any] | None]:
        """The messages from the root on; None for one that is not here, and for all before it."""
        path: list[dict[str, Any] | None] = []
        while head:
            path.insert(0, self.message(head))
            row = self.row(head)
            head = row["parent"] if row else None
        return path

    def row(self, message_id: str) -> dict[str, Any] | None:
        found = self.rows.execute("SELECT text FROM message WHERE id = ?", (message_id,)).fetchone()
        return dict(zip(MESSAGE, json.loads(found[0]), strict=True)) if found else None

    def message(self, message_id: str) -> dict[str, Any] | None:
        row = self.row(message_id)
        if row is None:
            return None
        text = row["text"]
        if row["echo_of"]:
            repeated = self.row(row["echo_of"])
            if repeated is None:
                return None
            text = (repeated["text"] or "").strip()
        message = {"role": row["role"]} if row["role"] else {}
        if text is not None:
            message["content"] = text
        return message | (json.loads(row["raw"], parse_float=Decimal) if row["raw"] else {})


def join_request(params: dict[str, Any], preamble: list[Any], turns: list[Any]) -> dict[str, Any]:
    """The request that was recorded so. Raises Broken."""
    # Not before the sums of these files are known to hold.
    from speech import dialects, recorded  # type: ignore[import-not-found]

    try:
        return dialects.join_request(recorded.Recorded(params, preamble, turns))
    except ValueError as problem:
        raise Broken(f"A call cannot be made again: {problem}.") from None


def call_of(text: str) -> dict[str, Any]:
    """The columns that were sealed; those that came later are as they are in older rows: empty."""
    return dict(zip_longest(CALL, json.loads(text, parse_float=Decimal)))


def check_apart(call: dict[str, Any], line: dict[str, Any], what: str) -> None:
    """Compare what stands in another shape in the line. Names and titles were not sealed."""
    conversation = line["conversation"] or {}
    classic = json.loads(call["classic"], parse_float=Decimal) if call["classic"] else None
    fits = {
        "conversation": conversation.get("id") == call["conversation"],
        "owner": line["owner"]["id"] == call["owner"],
        "attempts": line["attempts"] == json.loads(call["attempts"] or "[]", parse_float=Decimal),
        "classic": same(classic, line["classic"]),
    }
    for name, fit in fits.items():
        if not fit:
            raise Broken(f"{what} says another {name} than what was sealed.")


def plain(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if name in ("opened", "first_byte", "closed"):
        return datetime.fromisoformat(value).replace(tzinfo=None)
    return Decimal(value) if name == "cost" else value


def same(kept: Any, shown: Any) -> bool:
    """Whether the kept value is the shown one, a file where the kept one has its sha256."""
    if isinstance(kept, list):
        return isinstance(shown, list) and len(kept) == len(shown) and all(map(same, kept, shown))
    if not isinstance(kept, dict):
        return kept == shown and isinstance(kept, bool) == isinstance(shown, bool)
    inner = kept.get(FILE)
    if isinstance(inner, list):
        digest, prefix = inner[:2]
        if not isinstance(shown, str) or not shown.startswith(prefix):
            return False
        rest = shown[len(prefix) :]
        is_lost = rest == f"[file with sha256 {digest}]"
        data, spelling = base64_text.read(rest) or (b"", None)
        is_same = sha256(data).hexdigest() == digest and [spelling or {}] == (inner[2:] or [{}])
        return is_lost or is_same
    kept = inner if isinstance(inner, dict) else kept
    if not isinstance(shown, dict) or kept.keys() != shown.keys():
        return False
    return all(same(value, shown[name]) for name, value in kept.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks an export.")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="the gateway's public key")
    here = Path(__file__).resolve().parent
    parser.add_argument("--folder", type=Path, default=here, help="the export, if not its own")
    options = parser.parse_args()
    try:
        for confirmation in check(options.folder, options.keys):
            print(confirmation)  # noqa: T201
    except (Broken, listing.Altered, OSError) as problem:
        sys.exit(f"This export does not hold. {problem}")
    except Exception as problem:  # it may say anything
        why = f"A file of it is not what it should be: {problem!r}"
        sys.exit(f"This export does not hold. {why}")


if __name__ == "__main__":
    main()
