from django.urls import path, re_path

from . import openai

urlpatterns = [
    path("chat/completions", openai.ChatCompletions.as_view()),
    path("images/generations", openai.ImageGenerations.as_view()),
    path("images/edits", openai.ImageEdits.as_view()),
    path("embeddings", openai.Embeddings.as_view()),
    path("models", openai.ModelList.as_view()),
    path("models/<path:name>", openai.OneModel.as_view()),
    re_path("^(?P<rest>.*)$", openai.UnknownPath.as_view()),
]
