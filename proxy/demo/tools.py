"""Calls of tools and replies in JSON that fit a question. Pure."""

import re
from typing import Any

from .questions import PLAIN, find_keywords, find_question


def choose_tool(tools: list[dict], choice: Any, messages: list[dict]) -> dict | None:
    """Return the function to call: a forced one, else one that the last user message touches.

    It is touched if one of its words stands in the name or the description of the function.
    """
    functions = [
        tool["function"]
        for tool in tools
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return next((function for function in functions if function.get("name") == name), None)
    if choice == "none" or not functions or messages[-1].get("role") != "user":
        return None
    words = {word.lower() for word in re.findall(r"\w+", find_question(messages))} - PLAIN
    for function in functions:
        if words & _words_of(function):
            return function
    return functions[0] if choice == "required" else None


def _words_of(function: dict) -> set[str]:
    words = re.findall(r"[a-z]+|[A-Z][a-z]*", str(function.get("name")))
    words += re.findall(r"\w{4,}", str(function.get("description", "")))
    return {word.lower() for word in words} - PLAIN


def make_example(schema: Any, question: str, name: str = "") -> Any:
    """Make a value that fits a JSON schema, with words of the question where it wants text."""
    schema = schema if isinstance(schema, dict) else {}
    if "const" in schema:
        return schema["const"]
    if options := schema.get("enum"):
        mentioned = (value for value in options if str(value).lower() in question.lower())
        return next(mentioned, options[0])
    if either := schema.get("anyOf") or schema.get("oneOf"):
        return make_example(either[0], question, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = (schema.get("properties") or {}).items()
            return {key: make_example(value, question, key) for key, value in properties}
        case "array":
            return [make_example(schema.get("items"), question, name)]
        case "integer" | "number" as kind:
            return _make_number(schema, question, kind)
        case "boolean":
            return True
        case "null":
            return None
    if schema.get("format") == "date" or "date" in name.lower():
        return _make_date(question)
    return _make_text(question)


def _make_number(schema: dict, question: str, kind: str) -> Any:
    number = re.search(r"-?\d+(?:\.\d+)?", question)
    if kind == "integer":
        return int(float(number[0])) if number else schema.get("minimum", 1)
    return float(number[0]) if number else schema.get("minimum", 1.5)


def _make_date(question: str) -> str:
    date = re.search(r"\d{4}-\d\d-\d\d", question)
    return date[0] if date else "2026-01-15"


def _make_text(question: str) -> str:
    place = re.search(r"\b(?:in|at|for|from|to|of) ((?:[A-Z][\w'-]+ ?)+)", question)
    return place[1].strip() if place else " ".join(find_keywords(question)[:4]) or "example"
