from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = "Conversations"

    def ready(self) -> None:
        """What follows the log, in this order: proof knows none of it."""
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
