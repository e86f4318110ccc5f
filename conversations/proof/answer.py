"""What a run of verify came to, in words for an auditor: what holds, what vouches for it, and what
the check cannot see.
"""

from collections.abc import Iterator

from ..models import Unsealed, Verification

# What an auditor must not take the answer for.
NOT_COVERED = (
    "A call that was deleted while it was open, and a row that was changed before its seal"
    " (seconds, while a worker runs): the chain holds no trace of either.",
    "A row that was put in by hand with its true time, or one of the last hour, or a call that was"
    " dated back into a stretch without any seal, at its end: the worker seals what it finds.",
    "The end of the chain that no checkpoint confirms: an owner of the database can write it anew"
    " or cut it off.",
    "A chain and checkpoints that were both written anew by a holder of the signing key, unless you"
    " give a copy of the checkpoints that was kept elsewhere (--checkpoints).",
    "What is not sealed and cannot be made again from what is: accounts, rights, API keys, titles,"
    " what owners hid, which words of a message the search index has, who holds a review and its"
    " due date, policies. Changes made in the admin are on the audit trail, which is sealed.",
)


def describe(run: Verification, *, is_own_key: bool, took: float) -> Iterator[str]:
    """Yield what a run without a problem came to, in lines for an auditor."""
    yield _describe_seals(run, took)
    yield _describe_confirmation(run)
    yield "Also compared: " + (
        "attachments that calls name (rows, sizes, types"
        + (", every byte" if run.with_files else "; their contents were not read: --files does")
        + "), owners and times of conversations, totals, usage, assessments, reviews, the search"
        " index, triggers and functions."
    )
    for note in run.notes.splitlines():
        yield f"Note: {note}"
    if run.confirmed is not None:
        keys = " ".join(run.keys.split())
        yield f"Its checkpoints are signed by {keys}."
        if is_own_key:
            yield (
                "That key is this machine's own word. Compare it with the key that was handed out"
                " to you, or name that one: --key."
            )
    yield "What this check does not cover:"
    for each in NOT_COVERED:
        yield f"- {each}"
    if waiting := Unsealed.objects.count():
        yield f"- {waiting:,} rows that wait for their seal now."


def _describe_seals(run: Verification, took: float) -> str:
    rate = f"({run.seals / took:,.0f} a second)"
    if not run.seals:
        return "Nothing is sealed yet."
    if run.is_whole:
        return f"The record is whole: {run.seals:,} seals hold {rate}."
    return (
        f"The record agrees with itself: {run.seals:,} seals hold {rate}. It is not called whole,"
        " because nothing outside the database vouches for it."
    )


def _describe_confirmation(run: Verification) -> str:
    if run.confirmed is None or run.confirmed_at is None:
        return f"Confirmed by no checkpoint: none of the {run.seals:,} seals is."
    after = run.seals - run.confirmed
    return (
        f"Confirmed up to seal {run.confirmed:,} by the checkpoint of"
        f" {run.confirmed_at:%Y-%m-%d %H:%M:%S} UTC; {after:,} after it by none."
    )
