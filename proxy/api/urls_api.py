from django.urls import path, re_path

from . import export, gateway, openai, usage, views

urlpatterns = [
    path("docs/", views.documentation, name="api-docs"),
    path("schema/", views.description, name="api-schema"),
    path("chat", gateway.Chat.as_view()),
    path("checkchat", gateway.CheckChat.as_view()),
    path("update_title", gateway.UpdateTitle.as_view()),
    path("update_title_openai", gateway.UpdateTitleByModel.as_view()),
    path("metadata_check", gateway.MetadataCheck.as_view()),
    path("remove_convo", gateway.RemoveConversation.as_view()),
    path("history", gateway.History.as_view()),
    path("history_v2", gateway.HistoryOfConversations.as_view()),
    path("image_gen", gateway.ImageGeneration.as_view()),
    path("conversations", gateway.Conversations.as_view()),
    path("conversations/<path:name>", gateway.OneConversation.as_view()),
    path("export.csv", export.AsCSV.as_view()),
    path("export.jsonl", export.AsLines.as_view()),
    path("usage", usage.Usage.as_view()),
    re_path("^(?P<rest>.*)$", openai.Nowhere.as_view()),
]
