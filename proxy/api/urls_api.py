from django.urls import path, re_path

from . import classic, conversations, export, openai, usage, views

urlpatterns = [
    path("docs/", views.docs, name="api-docs"),
    path("schema/", views.schema, name="api-schema"),
    path("chat", classic.Chat.as_view()),
    path("checkchat", classic.CheckChat.as_view()),
    path("update_title", classic.UpdateTitle.as_view()),
    path("update_title_openai", classic.UpdateTitleByModel.as_view()),
    path("metadata_check", classic.MetadataCheck.as_view()),
    path("remove_convo", classic.RemoveConversation.as_view()),
    path("history", classic.History.as_view()),
    path("history_v2", classic.HistoryOfConversations.as_view()),
    path("image_gen", classic.ImageGeneration.as_view()),
    path("conversations", conversations.ConversationList.as_view()),
    path("conversations/<path:name>", conversations.OneConversation.as_view()),
    path("export.csv", export.TableExport.as_view()),
    path("export.jsonl", export.LinesExport.as_view()),
    path("usage", usage.UsageView.as_view()),
    re_path("^(?P<rest>.*)$", openai.UnknownPath.as_view()),
]
