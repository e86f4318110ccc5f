from django.urls import path, re_path

from . import classic, conversations, export, openai, usage, views

urlpatterns = [
    path("docs/", views.documentation, name="api-docs"),
    path("schema/", views.description, name="api-schema"),
    path("chat", classic.Chat.as_view()),
    path("checkchat", classic.CheckChat.as_view()),
    path("update_title", classic.UpdateTitle.as_view()),
    path("update_title_openai", classic.UpdateTitleByModel.as_view()),
    path("metadata_check", classic.MetadataCheck.as_view()),
    path("remove_convo", classic.RemoveConversation.as_view()),
    path("history", classic.History.as_view()),
    path("history_v2", classic.HistoryOfConversations.as_view()),
    path("image_gen", classic.ImageGeneration.as_view()),
    path("conversations", conversations.Conversations.as_view()),
    path("conversations/<path:name>", conversations.OneConversation.as_view()),
    path("export.csv", export.AsCSV.as_view()),
    path("export.jsonl", export.AsLines.as_view()),
    path("usage", usage.Usage.as_view()),
    re_path("^(?P<rest>.*)$", openai.Nowhere.as_view()),
]
