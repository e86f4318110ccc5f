"""Attack → what verify says of it."""

from hashlib import sha256

from django.conf import settings
from django.core.files.storage import default_storage

from conversations.models import (
    Attachment,
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Review,
    Seal,
    SearchEntry,
    Snapshot,
    Usage,
)
from conversations.tests.verify import attacks
from conversations.tests.verify.attacks import PDF, Attack, delete, sql, update

SNAPSHOT, EVENT = "conversations_snapshot", "conversations_auditevent"
CHANGED = "is not what was sealed: it was changed."
OF_FILE = f"file with sha256 {sha256(PDF).hexdigest()}, which the snapshot "
ATTACKS: dict[str, tuple[Attack, str]] = {
    # the evidence and the chain
    "a question is changed": (
        update(Message, text="other"),
        "The snapshot {call} (seal 1) or one of its messages " + CHANGED,
    ),
    "a call says another model": (
        update(Snapshot, model="other"),
        "The snapshot {call} (seal 1) or one of its messages " + CHANGED,
    ),
    "a decision is changed": (
        update(Decision, disposition="false_positive"),
        " (seal 5) " + CHANGED,
    ),
    "an audit event is deleted": (delete(AuditEvent, action="transcript"), " (seal 4) is gone."),
    "seals change places": (attacks.move_seal, "(seal 2) does not follow from the one before"),
    "a seal is deleted": (delete(Seal, number=3), "Seal 3 is missing: after 2 comes 4."),
    "the chain is written anew": (
        attacks.change_and_write_anew,
        "At seal 6 the chain is not the one that the checkpoint of",
    ),
    "the chain's end is cut off": (attacks.cut_end, "signed seal 7: its end was cut off."),
    "the checkpoint file is deleted": (
        lambda call: settings.CHECKPOINT_FILE.unlink(),
        "is gone: this machine signed seal 7 on",
    ),
    "the checkpoint file is emptied": (
        lambda call: settings.CHECKPOINT_FILE.write_bytes(b""),
        "The checkpoint file was cut: it ends at seal 0, but this machine signed seal 7 on",
    ),
    "the checkpoint file is cut": (
        attacks.cut_file,
        "The checkpoint file was cut: it ends at seal 7, but this machine signed seal 8 on",
    ),
    "chain and checkpoints are written anew, with another key": (
        attacks.write_anew_with_another_key,
        "is not signed by a key that is trusted here.",
    ),
    # what calls name
    "the row of a file is deleted": (delete(Attachment), f"The row of the {OF_FILE}"),
    "the row of a file says another type": (
        update(Attachment, media_type="text/html"),
        "was changed: it says text/html, and no call does.",
    ),
    "the row of a file says another size": (update(Attachment, size=1), " names, was changed."),
    "the row of a file says another file": (
        update(Attachment, sha256=b"y" * 32),
        f"The row of the {OF_FILE}",
    ),
    "the row of a file moves away": (
        lambda call: update(Attachment, conversation=call.conversation_id)(call),
        f"The row of the {OF_FILE}",
    ),
    "a file is deleted": (
        lambda call: default_storage.delete(attacks.stored()),
        " names, is gone.",
    ),
    "a file is cut": (attacks.put_another_file(PDF[:-1]), " names, was changed."),
    "a file is exchanged": (attacks.put_another_file(PDF[:-1] + b"y"), " names, was changed."),
    "a file is given to a conversation": (
        lambda call: attacks.add_row_of_a_file(call.conversation_id),
        "No call names the file with sha256 7979",
    ),
    "a file is given to no conversation": (
        lambda call: attacks.add_row_of_a_file(None),
        "of calls outside of any: it was put in.",
    ),
    # what is derived
    "a conversation changes its owner": (
        attacks.give_away,
        "The conversation {conversation} is said to be of another person than its calls.",
    ),
    "a conversation changes its end user": (
        update(Conversation, end_user="zoe"),
        "The conversation {conversation} is said to be of another end user than its calls.",
    ),
    "a conversation is said to be older": (
        attacks.age,
        "The conversation {conversation} is said to have begun or ended at another time than its",
    ),
    "a total is changed": (
        update(Conversation, prompt_tokens=1),
        "What is kept as totals of conversation {conversation} is not what the calls say.",
    ),
    "a roll-up is changed": (update(Usage, calls=1), "What is kept as usage of "),
    "a roll-up is deleted": (delete(Usage), "What is kept as usage of "),
    "an assessment is put in": (
        attacks.put_in_assessment,
        "What is kept as assessment by call {call} is not what the calls say.",
    ),
    "a review is deleted": (
        delete(Review),
        "The conversation {conversation} was decided about, and has no place among the reviews",
    ),
    "a review names another decision": (
        attacks.point_to_another_decision,
        "The conversation {conversation} has a review that does not name its latest decision.",
    ),
    "an escalated review is closed": (
        attacks.set_escalated_aside,
        "The conversation {conversation} was escalated, and counts as decided.",
    ),
    "a review of a part is closed": (
        attacks.set_part_aside,
        "The conversation {conversation} was decided in part, and counts as decided.",
    ),
    "a review is closed without a decision": (
        attacks.decide_nothing,
        "counts as decided, and there is no decision.",
    ),
    "a review is closed over what came later": (
        attacks.go_on_unseen,
        "The conversation {conversation} counts as decided, and went on since",
    ),
    "a claimed conversation leaves the queue": (
        attacks.take_out_of_queue,
        "was assigned, and has no place among the reviews any more.",
    ),
    "words are taken out of the search index": (
        delete(SearchEntry),
        "The snapshot {call} is not whole in the search index",
    ),
    # the guards
    "a trigger is dropped": (
        sql(f"DROP TRIGGER keep ON {SNAPSHOT}"),
        f"The trigger keep of {SNAPSHOT} is gone",
    ),
    "a trigger is switched off": (
        sql(f"ALTER TABLE {SNAPSHOT} DISABLE TRIGGER keep"),
        f"The trigger keep of {SNAPSHOT} is switched off",
    ),
    "foreign keys are switched off": (
        sql("ALTER TABLE conversations_usage DISABLE TRIGGER ALL"),
        "The table conversations_usage has triggers or foreign keys that are switched off.",
    ),
    "a trigger is made weaker": (
        sql(
            f"DROP TRIGGER keep ON {SNAPSHOT}",
            f"CREATE TRIGGER keep BEFORE UPDATE OF model ON {SNAPSHOT} FOR EACH ROW "
            "WHEN (OLD.status <> 'pending') EXECUTE FUNCTION conversations_keep()",
        ),
        f"The trigger keep of {SNAPSHOT}, or its function, was changed.",
    ),
    "a function is made deaf": (
        attacks.unguard,
        f"The trigger keep of {SNAPSHOT}, or its function, was changed.",
    ),
    "a function is given a setting": (
        sql("ALTER FUNCTION conversations_keep() SET gateway.may_erase = 'on'"),
        f"The trigger keep of {SNAPSHOT} is switched off, or its function is made deaf.",
    ),
    "a trigger is put in": (
        sql(
            f"CREATE TRIGGER mine BEFORE INSERT ON {EVENT} "
            "FOR EACH ROW EXECUTE FUNCTION conversations_keep()"
        ),
        f"The trigger mine of {EVENT} is not one of this version's: it was put in.",
    ),
    "a rule swallows what is written": (
        sql(f"CREATE RULE mine AS ON INSERT TO {EVENT} DO INSTEAD NOTHING"),
        f"The table {EVENT} has a rule that puts other statements in the place of ours.",
    ),
    "a policy hides rows": (
        sql(f"ALTER TABLE {EVENT} ENABLE ROW LEVEL SECURITY"),
        f"The table {EVENT} hides rows by a policy of row security.",
    ),
    "the database lets all erase": (
        sql("ALTER ROLE CURRENT_USER SET gateway.may_erase = 'on'"),
        "pass the triggers by: gateway.may_erase=on is set.",
    ),
    "the session has no triggers": (
        sql("SET LOCAL session_replication_role = 'replica'"),
        "this session pass the triggers by: session_replication_role=replica is set.",
    ),
    "a view hides a person's calls": (
        sql(
            "CREATE OR REPLACE VIEW llm_logs.image_logs AS SELECT id, request, response, "
            "usage_cost, user_name, title, response_time FROM llm_logs.calls "
            "WHERE kind = 'image' AND answered AND user_name <> 'alice'"
        ),
        "The view image_logs of llm_logs was changed.",
    ),
    "a function of the views hides what was said": (
        sql(
            "CREATE OR REPLACE FUNCTION llm_logs.shown(json_text text) RETURNS text STABLE "
            "PARALLEL SAFE RETURN '{}'"
        ),
        "The function shown(json_text text) of llm_logs was changed.",
    ),
    # false times
    "a call is put in, dated back": (attacks.forge_past_call, "and was sealed 24 days, 23:59:"),
    "a decision is put in, dated back": (attacks.forge_decision, "and was sealed 25 days, 0:00:"),
    "an audit event is put in, dated back": (attacks.forge_event, "and was sealed 25 days, 0:00:"),
    "a call is put in, dated forward": (
        attacks.forge_future_call,
        " earlier, out of its order and by no",
    ),
}
