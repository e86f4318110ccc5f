from django.urls import path, re_path

from . import openai

urlpatterns = [
    path("chat/completions", openai.ChatCompletions.as_view()),
    path("images/generations", openai.ImageGenerations.as_view()),
    path("images/edits", openai.ImageEdits.as_view()),
    path("embeddings", openai.Embeddings.as_view()),
    path("models", openai.Models.as_view()),
    path("models/<path:name>", openai.Model.as_view()),
    re_path("^(?P<rest>.*)$", openai.Nowhere.as_view()),
]
