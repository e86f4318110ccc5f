"""The record: what was said, by whom, when, and what it cost.

Three kinds of rows. *Evidence* (Message, Snapshot once closed, Attachment, Decision, AuditEvent,
Case, CaseEntry, Seal) is written by conversations.record, people.audit, proof.sealing and the
review desk only, and never changes. *Views of it* (Conversation's title and totals, Usage,
EndUserUsage, SearchEntry, WordHash, Assessment) can be rebuilt from the evidence. *Scaffolding*
(Partial, Process, Unsealed) lives for seconds and may be lost, Unindexed until the search has a new
title; Unhashed and Reindexing live until the worker has gone over what is old, and Notice until it
is told and a month old.

Beside them stand people (User, OtherName, ThreadSeed) and what they agreed to (UsagePolicy,
PolicyAcceptance) or were asked to (Approval).
"""

from .approval import Approval
from .assessment import Assessment
from .attachment import Attachment
from .audit import AuditEvent
from .case import Case, CaseEntry, CaseMember
from .conversation import Conversation
from .export import Export
from .message import Message
from .notice import Notice, NoticeFeed
from .other_name import OtherName
from .policy import PolicyAcceptance, UsagePolicy
from .review import Decision, Review, SamplingPolicy
from .saved_filter import SavedFilter
from .scaffolding import Partial, Process, Unsealed
from .seal import Seal, SigningKey, Verification
from .search import Reindexing, SearchEntry, Unindexed
from .snapshot import Snapshot
from .usage import EndUserUsage, Usage
from .user import ThreadSeed, User
from .word_hash import Unhashed, WordHash

__all__ = [
    "Approval",
    "Assessment",
    "Attachment",
    "AuditEvent",
    "Case",
    "CaseEntry",
    "CaseMember",
    "Conversation",
    "Decision",
    "EndUserUsage",
    "Export",
    "Message",
    "Notice",
    "NoticeFeed",
    "OtherName",
    "Partial",
    "PolicyAcceptance",
    "Process",
    "Reindexing",
    "Review",
    "SamplingPolicy",
    "SavedFilter",
    "Seal",
    "SearchEntry",
    "SigningKey",
    "Snapshot",
    "ThreadSeed",
    "Unhashed",
    "Unindexed",
    "Unsealed",
    "Usage",
    "UsagePolicy",
    "User",
    "Verification",
    "WordHash",
]
