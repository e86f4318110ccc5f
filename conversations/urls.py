from django.urls import path

from .reading import history_page, pages, policy_page

# The page of one conversation is in proxy, as it sends questions to a model.
urlpatterns = [
    path("history/", history_page.history, name="history"),
    path("policy/", policy_page.policy, name="policy"),
    path("c/<uuid:root>/rename/", pages.rename, name="rename"),
    path("c/<uuid:root>/remove/", pages.remove, name="remove"),
    path("c/<uuid:root>/stop/", pages.stop, name="stop"),
    path("c/<uuid:root>/export.md", pages.export, {"suffix": "md"}, name="export-markdown"),
    path("c/<uuid:root>/export.json", pages.export, {"suffix": "json"}, name="export-json"),
    path("c/<uuid:root>/a/<int:number>", pages.attachment, name="attachment"),
]
