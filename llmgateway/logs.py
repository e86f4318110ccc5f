"""Process logs hold ids, classes and routes; never what a person or an upstream wrote.

An exception's text may quote a row, a header or a body, so a traceback is printed without it: where, and which class.
"""

import logging
import traceback


class Formatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatException(self, ei) -> str:
        lines = []
        problem = ei[1]
        while problem is not None:
            lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(problem.__traceback__, limit=-12)]
            lines.append(f"  {type(problem).__module__}.{type(problem).__qualname__}")
            problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
        return "\n".join(lines)
