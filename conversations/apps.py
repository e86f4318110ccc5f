from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Conversations"

    def ready(self) -> None:
        """Hand the worker what follows the log, in this order, and verify what is made from it.

        proof imports none of these.
        """
        from . import review
        from .people import persons
        from .proof import sealing, verification
        from .report import assessments, rollups
        from .search import completeness, index

        sealing.FOLLOWERS[sealing.SNAPSHOT] = [
            index.index_calls,
            review.reopen,
            review.sample,
            assessments.store_assessments,
            persons.remember_end_users,
            rollups.add_end_users,
        ]
        sealing.FOLLOWERS[sealing.DECISION] = [review.reopen]
        verification.CHECKS[:] = [rollups.check, completeness.check]
