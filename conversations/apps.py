from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Conversations"

    def ready(self) -> None:
        """Hand the worker what follows the log, in this order: proof imports none of it."""
        from . import review
        from .proof import sealing
        from .report import assessments
        from .search import index

        sealing.FOLLOWERS[:] = [
            index.index_calls,
            review.reopen,
            review.sample,
            assessments.store_assessments,
        ]
