#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
    try:
        from django.core.management import execute_from_command_line

        from llmgateway.embedded.postgres import Unavailable

        try:
            execute_from_command_line(sys.argv)
        except Unavailable as error:
            sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
